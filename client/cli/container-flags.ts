import type { FlagGroup, OptionFlag } from './option-flags.ts';
import {
  readBytes,
  readBytesOrNone,
  readCpus,
  readDevice,
  readExtraHost,
  readUlimit,
} from './container-values.ts';
import { readCount, readLabel } from './values.ts';

// Docker's flags for how containers are run. Paths are those within ContainerOptions.

const itself = (entry: string) => entry;

// The numbers are those that ts-proto generates; the generated code itself is not loaded for help.
const networks = { bridge: 10, host: 20 };
const pids = { private: 10, host: 20 };

const processFlags: readonly OptionFlag[] = [
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

const rightsFlags: readonly OptionFlag[] = [
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

const networkFlags: readonly OptionFlag[] = [
  {
    ...{ flags: '--network <mode>', description: "a network of its own, or the node's" },
    ...{ path: 'network', words: networks },
  },
  { flags: '--mac-address <address>', description: 'hardware address', path: 'macAddress' },
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
    ...{
      path: 'log.options',
      isMap: true,
      read: readLabel,
      keyOf: ([key]: readonly [string, string]) => key,
    },
  },
];

const limitFlags: readonly OptionFlag[] = [
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

const groups: readonly FlagGroup[] = [
  ['Process:', processFlags],
  ['Rights:', rightsFlags],
  ['Network and output:', networkFlags],
  ['Limits:', limitFlags],
];

/** The flags for how containers are run, by what they are about. */
export const containerFlags: readonly FlagGroup[] = groups.map(([title, flags]) => [
  title,
  flags.map((flag) => ({ ...flag, path: `container.${flag.path}` })),
]);

function pathOf(device: { hostPath: string; containerPath: string }): string {
  return device.containerPath === '' ? device.hostPath : device.containerPath;
}
