import { Option, type Command } from 'commander';
import { Status } from 'nice-grpc-common';
import type { Action, MutationOptions, Plan } from '../../../shared/gen/fairlead/v1/action.ts';
import type { Container } from '../../../shared/gen/fairlead/v1/container.ts';
import { FairleadError } from '../../fairlead-error.ts';
import { configureExec } from '../exec.ts';
import { connected, type Invocation } from '../invocation.ts';
import { containerKind } from '../kinds.ts';
import { addListFlags, printList, type ListFlags } from '../listing.ts';
import { addLogFlags, printLog, rangeOf, type LogFlags } from '../logs.ts';
import { mutateEach } from '../mutate.ts';
import { addMutationFlags, type MutationFlags } from '../mutation-flags.ts';
import { required } from '../required.ts';
import { collectWords } from '../values.ts';

type Run = Invocation<MutationFlags>;

interface ContainerAnswer {
  readonly container: Container | undefined;
  readonly action: Action | undefined;
  readonly plan: Plan | undefined;
}

interface Verb {
  readonly name: string;
  readonly doing: string;
  readonly description: string;
  readonly call: (
    run: Run,
    request: { readonly container: string; readonly options: MutationOptions },
  ) => Promise<ContainerAnswer>;
}

const verbs: readonly Verb[] = [
  {
    name: 'start',
    doing: 'starting',
    description: 'fill the slots of stopped or failed containers again',
    call: ({ client, signal }, request) => client.control.startContainer(request, { signal }),
  },
  {
    name: 'stop',
    doing: 'stopping',
    description: 'drain and stop containers; their slots stay empty',
    call: ({ client, signal }, request) => client.control.stopContainer(request, { signal }),
  },
  {
    name: 'redeploy',
    doing: 'redeploying',
    description: 'replace containers by fresh ones of the same slots',
    call: ({ client, signal }, request) => client.control.redeployContainer(request, { signal }),
  },
  {
    name: 'rm',
    doing: 'removing',
    description: 'drain, stop and remove containers; the service fills their slots again',
    call: ({ client, signal }, request) => client.control.removeContainer(request, { signal }),
  },
];

/** Adds the commands of containers. */
export function configure(container: Command): void {
  addListFlags(container.command('ls').description('list containers'))
    .addOption(new Option('--service <service>', 'only of this service').argParser(collectWords))
    .addOption(new Option('--node <node>', 'only on this node').argParser(collectWords))
    .action(connected(list));

  container
    .command('inspect')
    .description('show all that is known of containers')
    .argument('<container...>', 'name, such as web-3, or id')
    .action(
      connected(async ({ client, output, args, signal }) => {
        const found = await Promise.all(
          args.map(async (name) => {
            const answer = await client.control.getContainer({ container: name }, { signal });
            return required(answer.container);
          }),
        );
        output.allDetails(containerKind, found);
      }),
    );

  addLogFlags(container.command('logs'))
    .description('show what a container writes; its output to stdout, its errors to stderr')
    .argument('<container>', 'name, such as web-3, or id')
    .action(
      connected<LogFlags>(async (run) => {
        const [name = ''] = run.args;
        const request = { container: name, ...rangeOf(run.flags) };
        await printLog(run, run.client.containerLogs(request, run.signal), { named: false });
      }),
    );

  configureExec(container.command('exec'));

  for (const { name: verb, doing, description, call } of verbs) {
    addMutationFlags(container.command(verb).description(description), { waits: true, lock: false })
      .argument('<container...>', 'name, such as web-3, or id')
      .action(
        connected<MutationFlags>(async (run) => {
          await mutateEach(run, run.args, (name) => ({
            doing: `${doing} ${name}`,
            call: (options) => call(run, { container: name, options }),
            kind: containerKind,
            result: (answer) => latest(run, answer, name),
          }));
        }),
      );
  }
}

async function list(
  run: Invocation<
    ListFlags & { readonly service?: readonly string[]; readonly node?: readonly string[] }
  >,
): Promise<void> {
  const { client, flags, signal } = run;
  const request = { services: [...(flags.service ?? [])], nodes: [...(flags.node ?? [])] };
  await printList(run, {
    kind: containerKind,
    field: 'containers',
    list: async () => (await client.control.listContainers(request, { signal })).containers,
    watch: (scope) => client.watchContainers(request, scope),
  });
}

/** The container that now has the name, which may be a new one; what it last was if there is none. */
async function latest(
  { client, signal }: Run,
  { container }: ContainerAnswer,
  name: string,
): Promise<Container> {
  try {
    const answer = await client.control.getContainer(
      { container: container?.name ?? name },
      { signal },
    );
    return required(answer.container);
  } catch (error) {
    if (error instanceof FairleadError && error.code === Status.NOT_FOUND)
      return required(container);
    throw error;
  }
}
