import { Option, type Command } from 'commander';
import type { ContainerOptions } from '../../shared/gen/fairlead/v1/container_options.ts';
import {
  readBytes,
  readBytesOrNone,
  readCpus,
  readDevice,
  readExtraHost,
  readUlimit,
} from './container-values.ts';
import { collect, readCount, readLabel } from './values.ts';

/** Values of flags by their names, as commander has them. */
export type FlagValues = Readonly<Record<string, unknown>>;

/** A flag for one field of ContainerOptions, under the name that Docker's has. */
interface ContainerFlag {
  readonly flags: string;
  readonly description: string;
  /** Path within the options, in camelCase. */
  readonly path: string;
  readonly read?: (text: string) => unknown;
  /** Of a list: by what its entries are told apart. */
  readonly keyOf?: (entry: never) => string;
  /** The only values, and what they are in the message. */
  readonly words?: Readonly<Record<string, number>>;
}

const itself = (entry: string) => entry;

// The numbers are those that ts-proto generates; the generated code itself is not loaded for help.
const networks = { bridge: 10, host: 20 };
const pids = { private: 10, host: 20 };

const processFlags: readonly ContainerFlag[] = [
  { flags: '-w, --workdir <path>', description: 'directory to start in', path: 'workingDir' },
  { flags: '-u, --user <name[:group]>', description: 'user to run as', path: 'user' },
  { flags: '--hostname <name>', description: 'host name inside, with templates', path: 'hostname' },
  { flags: '--domainname <name>', description: 'NIS domain name inside', path: 'domainname' },
  { flags: '--stop-signal <signal>', description: 'signal that asks to end', path: 'stopSignal' },
  { flags: '--init', description: 'run an init that reaps processes', path: 'init' },
  { flags: '--read-only', description: 'read-only root file system', path: 'readOnly' },
  { flags: '-t, --tty', description: 'give it a pseudo-terminal', path: 'tty' },
  { flags: '-i, --interactive', description: 'keep its input open', path: 'stdinOpen' },
  {
    ...{ flags: '--ulimit <name=soft[:hard]>', description: 'limit of the process, repeatable' },
    ...{ path: 'ulimits', read: readUlimit, keyOf: ({ name }: { name: string }) => name },
  },
];

const rightsFlags: readonly ContainerFlag[] = [
  {
    flags: '--privileged',
    description: "all of the host's devices and rights",
    path: 'privileged',
  },
  {
    ...{ flags: '--group-add <group>', description: 'one more group, repeatable' },
    ...{ path: 'groups', keyOf: itself },
  },
  {
    ...{ flags: '--cap-add <capability>', description: 'one more capability, repeatable' },
    ...{ path: 'capAdd', keyOf: itself },
  },
  {
    ...{ flags: '--cap-drop <capability>', description: 'one capability less, repeatable' },
    ...{ path: 'capDrop', keyOf: itself },
  },
  {
    ...{ flags: '--security-opt <option>', description: 'security option, repeatable' },
    ...{ path: 'securityOptions', keyOf: itself },
  },
  {
    ...{ flags: '--device <path[:path][:rwm]>', description: 'device of the host, repeatable' },
    ...{ path: 'devices', read: readDevice, keyOf: pathOf },
  },
  {
    ...{ flags: '--pid <mode>', description: 'processes that it sees' },
    ...{ path: 'pid', words: pids },
  },
];

const networkFlags: readonly ContainerFlag[] = [
  {
    ...{ flags: '--network <mode>', description: "a network of its own, or the node's" },
    ...{ path: 'network', words: networks },
  },
  {
    ...{ flags: '--dns <address>', description: 'name server, repeatable' },
    ...{ path: 'dnsServers', keyOf: itself },
  },
  {
    ...{ flags: '--dns-search <domain>', description: 'domain to look names up in, repeatable' },
    ...{ path: 'dnsSearch', keyOf: itself },
  },
  {
    ...{ flags: '--dns-option <option>', description: 'option of the resolver, repeatable' },
    ...{ path: 'dnsOptions', keyOf: itself },
  },
  {
    ...{ flags: '--add-host <name:address>', description: 'line of the hosts file, repeatable' },
    ...{ path: 'extraHosts', read: readExtraHost },
    keyOf: ({ name, address }: { name: string; address: string }) => `${name} ${address}`,
  },
  { flags: '--log-driver <driver>', description: 'where its output goes', path: 'log.driver' },
  {
    ...{ flags: '--log-opt <key=value>', description: 'option of the log driver, repeatable' },
    ...{ path: 'log.options', read: readLabel, keyOf: ([key]: readonly [string, string]) => key },
  },
];

const limitFlags: readonly ContainerFlag[] = [
  {
    ...{ flags: '--cpus <n>', description: 'processors that it may use, such as 1.5' },
    ...{ path: 'limits.cpuMillis', read: readCpus },
  },
  {
    ...{ flags: '--cpu-shares <n>', description: 'weight when processors are short' },
    ...{ path: 'limits.cpuShares', read: readCount },
  },
  { flags: '--cpuset-cpus <list>', description: 'which processors, 0-2,4', path: 'limits.cpus' },
  {
    ...{ flags: '-m, --memory <size>', description: 'memory that it may use, such as 512m' },
    ...{ path: 'limits.memoryBytes', read: readBytes },
  },
  {
    ...{ flags: '--memory-swap <size>', description: 'memory and swap together; -1: no limit' },
    ...{ path: 'limits.memorySwapBytes', read: readBytesOrNone },
  },
  {
    ...{ flags: '--shm-size <size>', description: 'size of /dev/shm' },
    ...{ path: 'limits.shmBytes', read: readBytes },
  },
  { flags: '--cgroup-parent <slice>', description: 'slice of its group', path: 'cgroupParent' },
];

const groups = [
  ['Process:', processFlags],
  ['Rights:', rightsFlags],
  ['Network and output:', networkFlags],
  ['Limits:', limitFlags],
] as const;

const all = groups.flatMap(([, flags]) => flags);

/** Names of the lists, which `--clear` can empty. */
export const containerLists: readonly string[] = all
  .filter(({ keyOf }) => keyOf !== undefined)
  .map(({ flags }) => optionOf(flags).long.slice(2));

/** Adds the flags for how containers are run. */
export function addContainerFlags(command: Command): void {
  for (const [group, flags] of groups) {
    command.optionsGroup(group);
    for (const flag of flags) addFlag(command, flag);
  }
}

function addFlag(
  command: Command,
  { flags, description, read, keyOf, words }: ContainerFlag,
): void {
  const option = new Option(flags, description);
  if (keyOf !== undefined) option.argParser(collect(read ?? String));
  else if (read !== undefined) option.argParser(read);
  else if (words !== undefined) option.choices(Object.keys(words));
  command.addOption(option);
  if (!option.isBoolean()) return;
  command.addOption(new Option(optionOf(flags).long.replace('--', '--no-'), 'the opposite'));
}

/** A field of the options that flags change. */
export interface ContainerChange {
  /** Path within the options, in camelCase. */
  readonly path: string;
  readonly value: unknown;
}

/** What flags change in options; entries are added to lists, or replace those of the same key. */
export function containerChanges(
  flags: FlagValues,
  now: ContainerOptions | undefined,
): ContainerChange[] {
  const cleared = (flags['clear'] ?? []) as readonly string[];
  return all.flatMap(({ flags: text, path, keyOf, words }) => {
    const { long, key } = optionOf(text);
    const given = flags[key];
    const isCleared = cleared.includes(long.slice(2));
    if (given === undefined && !isCleared) return [];
    if (words !== undefined) return [{ path, value: words[String(given)] }];
    if (keyOf === undefined) return [{ path, value: given }];
    const entries = new Map<string, unknown>();
    const before = isCleared ? [] : entriesOf(valueAt(now, path));
    for (const entry of [...before, ...((given ?? []) as readonly unknown[])]) {
      entries.set(keyOf(entry as never), entry);
    }
    return [
      {
        path,
        value:
          path === 'log.options'
            ? Object.fromEntries(entries.values() as Iterable<[string, string]>)
            : [...entries.values()],
      },
    ];
  });
}

function entriesOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  return Object.entries(value ?? {});
}

function valueAt(options: ContainerOptions | undefined, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>((value, name) => (value as FlagValues | undefined)?.[name], options);
}

function pathOf(device: { hostPath: string; containerPath: string }): string {
  return device.containerPath === '' ? device.hostPath : device.containerPath;
}

function optionOf(flags: string): { readonly long: string; readonly key: string } {
  const option = new Option(flags);
  return { long: option.long ?? '', key: option.attributeName() };
}
