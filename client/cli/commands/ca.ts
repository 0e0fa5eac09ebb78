import { Option, type Command } from 'commander';
import { Plan } from '../../../shared/gen/fairlead/v1/action.ts';
import { Authority, Trust } from '../../../shared/gen/fairlead/v1/authority.ts';
import { CommandFailure, exitStatus } from '../exit-status.ts';
import { connected, type Invocation } from '../invocation.ts';
import type { Kind } from '../kinds.ts';
import { mutate } from '../mutate.ts';
import { addMutationFlags, type MutationFlags } from '../mutation-flags.ts';
import { required } from '../required.ts';
import { authorityStateWords, stateCell } from '../words.ts';

const authorityKind: Kind<Authority> = {
  toJSON: (authority) => Authority.toJSON(authority),
  nameOf: ({ pin }) => pin,
  columns: [
    { title: 'PIN', cell: ({ pin }) => pin },
    { title: 'STATE', cell: ({ state }) => stateCell(authorityStateWords(state)) },
    { title: 'SINCE', cell: ({ signsSince }) => signsSince?.toISOString() ?? '' },
    {
      title: 'TRUSTED UNTIL',
      cell: ({ trustedUntil }) => trustedUntil?.toISOString() ?? 'replaced',
    },
    { title: 'NODES', cell: ({ nodes }) => String(nodes) },
    { title: 'PROXIES', cell: ({ proxies }) => String(proxies) },
    { title: 'TOKENS', cell: ({ tokens }) => String(tokens) },
  ],
};

interface RotateFlags {
  readonly finish?: boolean;
  readonly force?: boolean;
}

/** Adds the commands of the certificate authority. */
export function configure(ca: Command): void {
  ca.command('ls')
    .description('list the authorities that are trusted, newest first; the first one signs')
    .action(
      connected(async (run) => {
        run.output.list(authorityKind, (await trustOf(run)).authorities);
      }),
    );
  ca.command('inspect')
    .description('show all that is known of them, and who still depends on which')
    .action(
      connected(async (run) => {
        const trust = await trustOf(run);
        run.output.allDetails({ toJSON: (item: Trust) => Trust.toJSON(item) }, [trust]);
      }),
    );
  addRotate(ca);
}

function addRotate(ca: Command): void {
  const command = ca
    .command('rotate')
    .description('replace the authority; the one before is trusted besides while certificates last')
    .addOption(new Option('--finish', 'end the trust in those that were replaced'))
    .addOption(new Option('--force', 'with --finish: cut who still depends on them'));
  addMutationFlags(command, { waits: false, lock: true })
    .addHelpText(
      'after',
      `
Agents that are connected renew their certificates by themselves within seconds, others when they are
back. Then, or at once if the old key is known to somebody else:

  fairlead ca ls
  fairlead ca rotate --finish`,
    )
    .action(connected<MutationFlags & RotateFlags>(rotate));
}

async function rotate(run: Invocation<MutationFlags & RotateFlags>): Promise<void> {
  const { client, flags, output, signal } = run;
  const { finish = false, force = false } = flags;
  if (force && !finish) {
    throw new CommandFailure(exitStatus.usage, '--force is about --finish: give both');
  }
  if (flags.dryRun === true) {
    await preview(run);
    return;
  }
  await mutate(run, {
    doing: finish ? 'ending the trust in earlier authorities' : 'replacing the authority',
    call: (options) =>
      finish
        ? client.control.finishRotation({ force, options }, { signal })
        : client.control.rotateAuthority({ options }, { signal }),
    kind: authorityKind,
    result: (answer) => Promise.resolve(required(required(answer.trust).authorities[0])),
  });
  if (!output.isWatched) return;
  output.note(
    finish
      ? 'take a new backup: with an older one agents would not be let in again'
      : 'take a new backup, and look at "fairlead ca ls" until nothing depends on the old one',
    'dim',
  );
}

/** What would be done; it is about no container. */
async function preview(run: Invocation<MutationFlags & RotateFlags>): Promise<void> {
  const { client, flags, output, signal } = run;
  const { finish = false, force = false } = flags;
  const options = { requestId: '', dryRun: true, version: flags.ifVersion ?? 0 };
  const answer = finish
    ? await client.control.finishRotation({ force, options }, { signal })
    : await client.control.rotateAuthority({ options }, { signal });
  if (output.json) {
    output.document(Plan.toJSON(required(answer.plan)));
    return;
  }
  const { authorities } = required(answer.trust);
  const count = (key: 'nodes' | 'proxies', of: readonly Authority[]) =>
    of.reduce((sum, authority) => sum + authority[key], 0);
  const words = (of: readonly Authority[]) =>
    `${count('nodes', of)} nodes and ${count('proxies', of)} proxies`;
  output.line(
    finish
      ? `${authorities.length - 1} authorities would be trusted no more; ${words(authorities.slice(1))} would be cut`
      : `a new authority would sign; ${words(authorities)} would renew their certificates`,
  );
}

async function trustOf({ client, signal }: Pick<Invocation<object>, 'client' | 'signal'>) {
  return required((await client.control.getTrust({}, { signal })).trust);
}
