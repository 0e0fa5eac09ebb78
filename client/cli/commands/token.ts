import { Option, type Command } from 'commander';
import { CreateTokenResponse } from '../../../shared/gen/fairlead/v1/control_service.ts';
import { shortId } from '../../../shared/ids.ts';
import { systemRandom } from '../../../shared/random.ts';
import { Role } from '../../../shared/gen/fairlead/v1/token.ts';
import { CommandFailure, exitStatus } from '../exit-status.ts';
import { connected, type Invocation } from '../invocation.ts';
import { tokenKind } from '../kinds.ts';
import { addListFlags, printList, type ListFlags } from '../listing.ts';
import { mutateEach, printPlan } from '../mutate.ts';
import { addMutationFlags, type MutationFlags } from '../mutation-flags.ts';
import { required } from '../required.ts';
import { collectWords, readCount, readDuration } from '../values.ts';

const roles = {
  viewer: Role.VIEWER,
  operator: Role.OPERATOR,
  admin: Role.ADMIN,
  node: Role.NODE,
  proxy: Role.PROXY,
} as const;

interface CreateFlags {
  readonly role: keyof typeof roles;
  readonly service?: readonly string[];
  readonly tag?: readonly string[];
  readonly lifetime?: number;
  readonly cluster?: readonly string[];
  readonly maxUses?: number;
}

const roleOption = (description: string) =>
  new Option('--role <role>', description).choices(Object.keys(roles));

/** Adds the commands of tokens. */
export function configure(token: Command): void {
  addCreate(token);
  addViews(token);
  addRevoke(token);
}

function addCreate(token: Command): void {
  const command = token
    .command('create')
    .description('make a token; its secret is printed once and cannot be shown again')
    .argument('[name]', 'name for people and for the audit; one is made up if not given')
    .addOption(roleOption('what it may do').makeOptionMandatory())
    .addOption(
      new Option('--service <service>', 'only for this service, repeatable').argParser(
        collectWords,
      ),
    )
    .addOption(
      new Option('--tag <tag>', 'tag that a joining node may have, repeatable').argParser(
        collectWords,
      ),
    )
    .addOption(
      new Option(
        '--cluster <cluster>',
        'of the role node: node cluster that a host joins with it; of others: only for this node cluster and its nodes, repeatable',
      ).argParser(collectWords),
    )
    .addOption(
      new Option(
        '--max-uses <n>',
        'how many hosts may join with it; any number if not given',
      ).argParser(readCount),
    )
    .addOption(
      new Option(
        '--lifetime <duration>',
        'how long it works; until it is revoked if not given',
      ).argParser(readDuration),
    );
  addMutationFlags(command, { waits: false, lock: false })
    .addHelpText(
      'after',
      `
Examples:
  fairlead token create --role node --cluster web --max-uses 4 --lifetime 1h > web.token
  fairlead token create node-1 --role node --tag web --max-uses 1 > node-1.token
  fairlead token create ci --role operator --service web --json
  fairlead token create edge-admin --role admin --cluster edge`,
    )
    .action(connected<MutationFlags & CreateFlags>(create));
}

function addViews(token: Command): void {
  addListFlags(token.command('ls').description('list tokens'))
    .addOption(roleOption('only of this role'))
    .action(
      connected<ListFlags & { readonly role?: keyof typeof roles }>(async (run) => {
        const { client, flags } = run;
        const request = flags.role === undefined ? {} : { role: roles[flags.role] };
        await printList(run, {
          kind: tokenKind,
          field: 'tokens',
          list: async () =>
            (await client.control.listTokens(request, { signal: run.signal })).tokens,
          watch: (signal) => client.watchTokens(request, signal),
        });
      }),
    );
}

function addRevoke(token: Command): void {
  addMutationFlags(token.command('revoke').description('revoke tokens at once and for ever'), {
    waits: false,
    lock: false,
  })
    .argument('<token...>', 'name or id')
    .action(
      connected<MutationFlags>(async (run) => {
        const { client, args, signal } = run;
        await mutateEach(run, args, (name) => ({
          doing: `revoking ${name}`,
          call: (options) => client.control.revokeToken({ token: name, options }, { signal }),
          kind: tokenKind,
          result: (answer) => Promise.resolve(required(answer.token)),
          gone: 'revoked',
        }));
      }),
    );
}

function requestOf({
  flags,
  args,
}: Pick<Invocation<MutationFlags & CreateFlags>, 'flags' | 'args'>) {
  return {
    name: args[0] ?? nameFor(flags),
    role: roles[flags.role],
    services: [...(flags.service ?? [])],
    tags: [...(flags.tag ?? [])],
    ...clustersOf(flags),
    maxUses: flags.maxUses ?? 0,
    lifetimeSeconds: Math.ceil((flags.lifetime ?? 0) / 1_000),
    options: { requestId: flags.requestId ?? '', dryRun: flags.dryRun === true },
  };
}

/** A host joins one cluster; others may be limited to several. */
function clustersOf({ role, cluster = [] }: CreateFlags) {
  if (role !== 'node') return { cluster: '', clusters: [...cluster] };
  if (cluster.length > 1) {
    throw new CommandFailure(exitStatus.usage, 'a host joins one cluster: give --cluster once');
  }
  return { cluster: cluster[0] ?? '', clusters: [] };
}

/** Tells apart the tokens that were made for the same. */
function nameFor({ role, cluster }: CreateFlags): string {
  return `${cluster?.[0] ?? role}-${shortId(systemRandom.id())}`;
}

/** Not sent again when the answer is lost: the secret is in the first answer only. */
async function create(run: Invocation<MutationFlags & CreateFlags>): Promise<void> {
  const { client, output, flags, signal } = run;
  const answer = await client.control.createToken(requestOf(run), { signal });
  if (flags.dryRun === true) {
    printPlan(output, answer.plan ?? { steps: [] });
    return;
  }
  if (output.json) {
    output.document(CreateTokenResponse.toJSON(answer));
    return;
  }
  if (answer.secret === '') {
    output.note('this request was carried out before; its secret cannot be shown again', 'busy');
    return;
  }
  if (output.isWatched) {
    output.note(`token ${required(answer.token).name}; the secret is not shown again:`, 'dim');
  }
  output.line(answer.secret);
}
