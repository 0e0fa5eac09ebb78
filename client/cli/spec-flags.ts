import { readFileSync } from 'node:fs';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { messageOf } from '../../shared/errors.ts';
import type { Link, PortSpec, Readiness } from '../../shared/gen/fairlead/v1/service.ts';
import { containerFlags } from './container-flags.ts';
import { environment } from './environment.ts';
import { addOptionFlags, listsOf, type FlagGroup } from './option-flags.ts';
import { healthFlags } from './health-flags.ts';
import { routeFlags } from './route-flags.ts';
import { placementFlags } from './placement-flags.ts';
import { tlsFlags } from './tls-flags.ts';
import {
  collect,
  collectWords,
  readAmount,
  readCount,
  readDuration,
  type Amount,
  readExpose,
  readLabel,
  readLink,
  readPublish,
  readReadiness,
  readRestart,
  readVariable,
  readVariables,
} from './values.ts';

type Pair = readonly [string, string];

/** The flags that stand for one field each. */
export const optionGroups: readonly FlagGroup[] = [
  ...placementFlags,
  ...containerFlags,
  ...healthFlags,
  ...tlsFlags,
  ...routeFlags,
];

/** The flags that define a service, as they are given to create, run and set. */
export interface SpecFlags {
  readonly image?: string;
  readonly replicas?: number;
  readonly entrypoint?: readonly string[];
  readonly env?: readonly Pair[];
  readonly envFile?: readonly Pair[];
  readonly label?: readonly Pair[];
  readonly publish?: readonly PortSpec[];
  readonly expose?: readonly PortSpec[];
  readonly link?: readonly Link[];
  readonly tag?: readonly string[];
  readonly avoidTag?: readonly string[];
  readonly strategy?: string;
  readonly restart?: { readonly policy: string; readonly limit: number };
  readonly readiness?: NonNullable<Readiness['check']>;
  readonly readinessInterval?: number;
  readonly readinessTimeout?: number;
  readonly readinessFailures?: number;
  readonly order?: string;
  readonly parallelism?: Amount;
  readonly updateDeadline?: number;
  readonly settle?: number;
  readonly failureBudget?: Amount;
  readonly onFailure?: string;
  readonly revisionsKept?: number;
  readonly drainTimeout?: number;
  readonly stopGrace?: number;
  readonly role?: string;
}

/** The flags by which set takes entries out of lists. */
export interface ListEditFlags {
  readonly envAdd?: readonly Pair[];
  readonly envRm?: readonly string[];
  readonly labelAdd?: readonly Pair[];
  readonly labelRm?: readonly string[];
  readonly publishAdd?: readonly PortSpec[];
  readonly exposeAdd?: readonly PortSpec[];
  readonly portRm?: readonly PortSpec[];
  readonly linkAdd?: readonly Link[];
  readonly linkRm?: readonly string[];
  readonly tagAdd?: readonly string[];
  readonly tagRm?: readonly string[];
  readonly avoidTagAdd?: readonly string[];
  readonly avoidTagRm?: readonly string[];
  readonly clear?: readonly string[];
}

const readEnv = (text: string) => readVariable(text, environment);

/** Adds the flags that define a service. */
export function addSpecFlags(command: Command): Command {
  addContentFlags(command);
  addPlacementFlags(command);
  addOptionFlags(command, optionGroups);
  addReplacementFlags(command);
  return command.optionsGroup('Options:');
}

function addContentFlags(command: Command): void {
  command
    .optionsGroup('Containers:')
    .addOption(new Option('--replicas <n>', 'number of containers').argParser(readCount))
    .addOption(
      new Option(
        '-p, --publish <[node:]port[/udp]>',
        'open a port to the outside, repeatable',
      ).argParser(collect(readPublish)),
    )
    .addOption(
      new Option('--expose <port[/udp]>', 'open a port to proxies and peers, repeatable').argParser(
        collect(readExpose),
      ),
    )
    .addOption(
      new Option('-e, --env <key=value>', 'set a variable, repeatable').argParser(collect(readEnv)),
    )
    .addOption(
      new Option('--env-file <file>', 'set the variables of a file, repeatable').argParser(
        collectFiles,
      ),
    )
    .addOption(
      new Option('--label <key=value>', 'set an engine label, repeatable').argParser(
        collect(readLabel),
      ),
    )
    .addOption(
      new Option(
        '--link <service[:alias]>',
        'use another service; a load balancer: balance it',
      ).argParser(collect(readLink)),
    )
    .addOption(
      new Option('--entrypoint <word>', "replace the image's entry point, repeatable").argParser(
        collect(String),
      ),
    )
    .addOption(
      new Option('--restart <no|on-failure[:n]|always>', 'when a process ends by itself').argParser(
        readRestart,
      ),
    )
    .addOption(
      new Option('--role <role>', "what its containers may do with Fairlead's API").choices([
        'none',
        'proxy',
        'viewer',
        'operator',
      ]),
    );
}

function addPlacementFlags(command: Command): void {
  command
    .optionsGroup('Placement:')
    .addOption(
      new Option('--tag <tag>', 'only nodes that have this tag, repeatable').argParser(
        collectWords,
      ),
    )
    .addOption(
      new Option('--avoid-tag <tag>', 'no node that has this tag, repeatable').argParser(
        collectWords,
      ),
    )
    .addOption(
      new Option('--strategy <strategy>', 'how nodes are chosen').choices([
        'emptiest-node',
        'high-availability',
        'every-node',
      ]),
    );
}

function addReplacementFlags(command: Command): void {
  const duration = (flags: string, description: string) =>
    new Option(flags, description).argParser(readDuration);
  command
    .optionsGroup('Readiness and replacement:')
    .addOption(
      new Option(
        '--readiness <tcp[:port]|none|http:/path[:port]|grpc[:port]|cmd:command>',
        'when a container may take traffic',
      ).argParser(readReadiness),
    )
    .addOption(duration('--readiness-interval <duration>', 'time between two checks'))
    .addOption(duration('--readiness-timeout <duration>', 'time until a check has failed'))
    .addOption(
      new Option('--readiness-failures <n>', 'failed checks in a row that count').argParser(
        readCount,
      ),
    )
    .addOption(
      new Option('--order <order>', 'which goes first when a container is replaced').choices([
        'start-first',
        'stop-first',
      ]),
    )
    .addOption(
      new Option('--parallelism <n|n%>', 'containers replaced at the same time').argParser(
        readAmount,
      ),
    )
    .addOption(duration('--update-deadline <duration>', 'time for a new container to be ready'))
    .addOption(
      duration('--settle <duration>', 'time that a new container must serve before the next step'),
    )
    .addOption(
      new Option('--failure-budget <n|n%>', 'containers that may fail in an update').argParser(
        readAmount,
      ),
    )
    .addOption(
      new Option('--on-failure <action>', 'what an update does when more fail').choices([
        'roll-back',
        'pause',
        'continue',
      ]),
    )
    .addOption(
      new Option('--revisions-kept <n>', 'definitions that are kept to go back to').argParser(
        readCount,
      ),
    )
    .addOption(duration('--drain-timeout <duration>', 'time to finish what is in flight'))
    .addOption(duration('--stop-grace <duration>', 'time from the stop signal to the kill'));
}

/** Fields that `--clear` empties. */
const clearable: readonly string[] = [
  ...['env', 'label', 'port', 'link', 'tag', 'avoid-tag', 'command', 'entrypoint'],
  ...listsOf(optionGroups),
];

/** Adds the flags that edit lists: add, take out, empty. */
export function addListEditFlags(command: Command): Command {
  const same = (name: string) => `the same as --${name}`;
  return command
    .optionsGroup('Lists (a list flag adds an entry, or replaces the one of the same key):')
    .addOption(new Option('--env-add <key=value>', same('env')).argParser(collect(readEnv)))
    .addOption(new Option('--env-rm <key>', 'take a variable out').argParser(collectWords))
    .addOption(new Option('--label-add <key=value>', same('label')).argParser(collect(readLabel)))
    .addOption(new Option('--label-rm <key>', 'take a label out').argParser(collectWords))
    .addOption(
      new Option('--publish-add <[node:]port[/udp]>', same('publish')).argParser(
        collect(readPublish),
      ),
    )
    .addOption(
      new Option('--expose-add <port[/udp]>', same('expose')).argParser(collect(readExpose)),
    )
    .addOption(
      new Option('--port-rm <port[/udp]>', 'take a port out').argParser(collect(readExpose)),
    )
    .addOption(
      new Option('--link-add <service[:alias]>', same('link')).argParser(collect(readLink)),
    )
    .addOption(new Option('--link-rm <alias>', 'take a link out').argParser(collectWords))
    .addOption(new Option('--tag-add <tag>', same('tag')).argParser(collectWords))
    .addOption(new Option('--tag-rm <tag>', 'take a tag out').argParser(collectWords))
    .addOption(new Option('--avoid-tag-add <tag>', same('avoid-tag')).argParser(collectWords))
    .addOption(new Option('--avoid-tag-rm <tag>', 'avoid a tag no more').argParser(collectWords))
    .addOption(
      new Option('--clear <field>', `empty a field first: ${clearable.join(', ')}`).argParser(
        collectClearable,
      ),
    )
    .optionsGroup('Options:');
}

function collectClearable(text: string, before: readonly string[] = []): string[] {
  const fields = collectWords(text);
  const unknown = fields.find((field) => !clearable.includes(field));
  if (unknown !== undefined) {
    throw new InvalidArgumentError(`It is one of ${clearable.join(', ')}.`);
  }
  return [...before, ...fields];
}

function collectFiles(path: string, before: readonly Pair[] = []): Pair[] {
  let content: string;
  try {
    content = readFileSync(path, 'utf8');
  } catch (error) {
    throw new InvalidArgumentError(`It cannot be read: ${messageOf(error)}.`);
  }
  return [...before, ...readVariables(content, environment)];
}
