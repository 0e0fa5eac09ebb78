import { Command, CommanderError, Option } from 'commander';
import { CommandFailure, exitStatus } from './exit-status.ts';
import { openOutput } from './invocation.ts';
import { packageVersion } from './version.ts';

type Configure = (command: Command) => void;

interface Noun {
  readonly name: string;
  readonly group: string;
  readonly description: string;
  /** Loaded only when it is the one that is used, so that help and errors come at once. */
  readonly load: () => Promise<Configure>;
}

const nouns: readonly Noun[] = [
  {
    name: 'service',
    group: 'Services:',
    description: 'define, run, change and scale services',
    load: async () => (await import('./commands/service.ts')).configure,
  },
  {
    name: 'container',
    group: 'Services:',
    description: 'look at single containers, stop and replace them',
    load: async () => (await import('./commands/container.ts')).configure,
  },
  {
    name: 'link',
    group: 'Services:',
    description: 'link services, such as a load balancer to what it balances',
    load: async () => (await import('./commands/link.ts')).configure,
  },
  {
    name: 'endpoint',
    group: 'Services:',
    description: 'find the addresses that users can open',
    load: async () => (await import('./commands/endpoint.ts')).configure,
  },
  {
    name: 'lb',
    group: 'Services:',
    description: 'see what the load balancers have in effect, and forget proxies that are gone',
    load: async () => (await import('./commands/lb.ts')).configure,
  },
  {
    name: 'certificate',
    group: 'Services:',
    description: 'put, look at and remove the certificates that load balancers show',
    load: async () => (await import('./commands/certificate.ts')).configure,
  },
  {
    name: 'explain',
    group: 'What happens:',
    description: 'say why a service or a container is as it is',
    load: async () => (await import('./commands/explain.ts')).configure,
  },
  {
    name: 'action',
    group: 'What happens:',
    description: 'see who changed what, and how it goes',
    load: async () => (await import('./commands/action.ts')).configure,
  },
  {
    name: 'events',
    group: 'What happens:',
    description: 'show what happened, or follow what happens',
    load: async () => (await import('./commands/events.ts')).configure,
  },
  {
    name: 'cluster',
    group: 'Hosts and access:',
    description: 'make clusters of hosts that share tags',
    load: async () => (await import('./commands/cluster.ts')).configure,
  },
  {
    name: 'node',
    group: 'Hosts and access:',
    description: 'look at hosts, tag, pause and remove them',
    load: async () => (await import('./commands/node.ts')).configure,
  },
  {
    name: 'token',
    group: 'Hosts and access:',
    description: 'make and revoke tokens of people, scripts and nodes',
    load: async () => (await import('./commands/token.ts')).configure,
  },
  {
    name: 'ca',
    group: 'Hosts and access:',
    description: 'see which certificate authority is trusted, and replace it',
    load: async () => (await import('./commands/ca.ts')).configure,
  },
  {
    name: 'login',
    group: 'Hosts and access:',
    description: 'check a token for a coordinator and keep it for later commands',
    load: async () => (await import('./commands/login.ts')).configure,
  },
  {
    name: 'context',
    group: 'Hosts and access:',
    description: 'choose between the coordinators that you logged in to',
    load: async () => (await import('./commands/context.ts')).configure,
  },
  {
    name: 'info',
    group: 'Hosts and access:',
    description: 'ask the coordinator for its version and your role',
    load: async () => (await import('./commands/info.ts')).configure,
  },
  {
    name: 'coordinator',
    group: 'Daemons:',
    description: 'run the coordinator, back it up, restore it',
    load: async () => (await import('./commands/coordinator.ts')).configure,
  },
  {
    name: 'agent',
    group: 'Daemons:',
    description: 'run the agent of a host',
    load: async () => (await import('./commands/daemon.ts')).configure('agent'),
  },
  {
    name: 'proxy',
    group: 'Daemons:',
    description: 'run the agent of an HAProxy',
    load: async () => (await import('./commands/daemon.ts')).configure('proxy'),
  },
];

const examples = `
Address and token are taken from --coordinator and --token or --token-file, else from
FAIRLEAD_ADDRESS and FAIRLEAD_TOKEN or FAIRLEAD_TOKEN_FILE, else from the context of "fairlead login".

Examples:
  fairlead service run --name web dockercloud/hello-world --replicas 8 --tag web --publish 80
  fairlead service scale web 12
  fairlead service ps web --watch
  fairlead explain web
  fairlead endpoint ls web --json

Exit status: 0 done, 1 failed, 2 usage, 3 not found, 4 not allowed, 5 conflict, 6 timed out while
waiting, 7 coordinator out of reach, 130 interrupted.`;

function programOf(): Command {
  const program = new Command('fairlead')
    .description('Runs web services over your own hosts and balances load between them.')
    .exitOverride()
    .configureOutput({
      outputError: (text, write) => {
        write(text.replace(/^error: /, 'fairlead: '));
      },
    })
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError('(give --help for what is possible)')
    .addOption(new Option('--coordinator <host:port>', 'address of the coordinator'))
    .addOption(new Option('--token <token>', 'token').conflicts('tokenFile'))
    .addOption(new Option('--token-file <file>', 'file with the token'))
    .addOption(new Option('--json', 'print JSON, and nothing else, on stdout'))
    .version(packageVersion(), '-V, --version', 'print the version')
    .addHelpText('after', examples);
  const loads = new Map<string, Noun['load']>();
  for (const { name, group, description, load } of nouns) {
    program.command(name).helpGroup(group).description(description);
    loads.set(name, load);
  }
  return program.hook('preSubcommand', async (_program, noun) => {
    const configure = await loads.get(noun.name())?.();
    configure?.(noun);
  });
}

/** Runs the command that the arguments name; resolves with the exit status. */
export async function runCommandLine(argv: readonly string[]): Promise<number> {
  // Whoever reads our output may stop: that is their right, and no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(exitStatus.done);
  });
  try {
    await programOf().parseAsync(helpAsOption(argv), { from: 'user' });
    return exitStatus.done;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitStatus.usage;
    return await report(error);
  }
}

/** `help node ls` as `node ls --help`: commands are loaded when they are used, and help for them uses none. */
function helpAsOption(argv: readonly string[]): string[] {
  const [first, ...rest] = argv;
  return first === 'help' && rest.length > 0 ? [...rest, '--help'] : [...argv];
}

async function report(error: unknown): Promise<number> {
  const { toCommandFailure } = await import('./failures.ts');
  const { status, message, hints } =
    error instanceof CommandFailure ? error : toCommandFailure(error);
  if (message !== '') (await openOutput({})).failure(message, hints);
  return status;
}
