import { randomBytes } from 'node:crypto';
import { Option, type Command } from 'commander';
import { joinLine } from '../../../shared/join-line.ts';
import { Role } from '../../../shared/gen/fairlead/v1/token.ts';
import { CommandFailure, exitStatus } from '../exit-status.ts';
import { connected, type Invocation } from '../invocation.ts';
import { collectWords, readCount, readDuration } from '../values.ts';

interface InviteFlags {
  readonly cluster?: string;
  readonly maxUses?: number;
  readonly tag?: readonly string[];
  readonly lifetime: number;
}

const hourMs = 3_600_000;
/** As in the line of a coordinator's first start: enough for a fleet, and whoever sees the line joins no more. */
const usualHosts = 20;

/** Adds the command that prints the line to paste on new hosts. */
export function addInvite(node: Command): void {
  node
    .command('invite')
    .description(
      'make a join token and print the line that makes a host a node, to be pasted there as root',
    )
    .addOption(new Option('--cluster <cluster>', 'node cluster that the hosts join'))
    .addOption(
      new Option(
        '--max-uses <n>',
        'how many hosts may join, 0 for any number; by default those that the cluster waits for, else 20',
      ).argParser(readCount),
    )
    .addOption(
      new Option('--tag <tag>', 'tag that the hosts join with, repeatable').argParser(collectWords),
    )
    .addOption(
      new Option('--lifetime <duration>', 'how long the line works')
        .argParser(readDuration)
        .default(hourMs, '1h'),
    )
    .addHelpText(
      'after',
      `
The line has a secret in it: whoever has it can join hosts for as long as it works.

Examples:
  fairlead node invite --cluster web
  fairlead node invite --lifetime 10m | ssh root@host-1 sh`,
    )
    .action(connected<InviteFlags>(printInvitation));
}

async function printInvitation(run: Invocation<InviteFlags>): Promise<void> {
  const { client, output, flags, signal } = run;
  const { agentAddress, httpUrl, installScriptSha256 } = await client.control.getInfo(
    {},
    { signal },
  );
  if (installScriptSha256 === '') {
    throw new CommandFailure(
      exitStatus.failed,
      'the coordinator has nothing to install: make packages by "npm run package", and start it with --packages-dir',
    );
  }
  const tags = [...(flags.tag ?? [])];
  const maxUses = flags.maxUses ?? (await hostsFor(run));
  const answer = await client.control.createToken(
    {
      name: `join-${randomBytes(4).toString('hex')}`,
      role: Role.NODE,
      tags,
      cluster: flags.cluster ?? '',
      maxUses,
      lifetimeSeconds: Math.ceil(flags.lifetime / 1_000),
    },
    { signal },
  );
  const line = joinLine({
    httpUrl,
    agentAddress,
    scriptSha256: installScriptSha256,
    token: answer.secret,
    options: tags.length === 0 ? [] : ['--tag', tags.join(',')],
  });
  if (output.json) output.document({ command: line });
  else output.line(line);
  const hosts = maxUses === 1 ? 'one host' : `${maxUses} hosts`;
  const until = answer.token?.expiresAt?.toISOString() ?? 'it is revoked';
  output.note(`it is good for ${maxUses === 0 ? 'any number of hosts' : hosts}, until ${until}`);
}

/** As many as their cluster waits for, or one in the place of another. */
async function hostsFor({ client, flags, signal }: Invocation<InviteFlags>): Promise<number> {
  if (flags.cluster === undefined) return usualHosts;
  const { nodeCluster } = await client.control.getNodeCluster(
    { nodeCluster: flags.cluster },
    { signal },
  );
  const { targetNodes = 0, currentNodes = 0 } = nodeCluster ?? {};
  return targetNodes === 0 ? usualHosts : Math.max(1, targetNodes - currentNodes);
}
