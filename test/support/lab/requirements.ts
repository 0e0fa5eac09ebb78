import { existsSync, readFileSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { searchPath } from './command.ts';

/** A command that is not on this machine, and what brings it. */
export interface MissingCommand {
  readonly command: string;
  readonly debianPackage: string;
  readonly why: string;
}

/** Something of this machine that no package can mend. */
export interface Unsuitable {
  readonly what: string;
  readonly why: string;
}

export interface Requirements {
  readonly missing: readonly MissingCommand[];
  readonly unsuitable: readonly Unsuitable[];
}

const commands: readonly MissingCommand[] = [
  { command: 'dockerd', debianPackage: 'docker.io', why: 'each host runs an engine' },
  { command: 'docker', debianPackage: 'docker.io', why: 'images are built with it' },
  { command: 'containerd', debianPackage: 'containerd', why: 'the engine runs it' },
  { command: 'runc', debianPackage: 'runc', why: 'containerd starts containers with it' },
  { command: 'haproxy', debianPackage: 'haproxy', why: 'it balances the load' },
  { command: 'ip', debianPackage: 'iproute2', why: 'hosts and links are made with it' },
  { command: 'nsenter', debianPackage: 'util-linux', why: 'processes enter hosts with it' },
  { command: 'unshare', debianPackage: 'util-linux', why: 'hosts boot with it' },
  { command: 'hostname', debianPackage: 'hostname', why: 'hosts get their names with it' },
  { command: 'mount', debianPackage: 'mount', why: 'hosts have a /run of their own' },
  { command: 'iptables', debianPackage: 'iptables', why: 'the engine publishes ports with it' },
  { command: 'busybox', debianPackage: 'busybox-static', why: 'images get their shell from it' },
  { command: 'ldd', debianPackage: 'libc-bin', why: 'images get the libraries it lists' },
];

/** CAP_NET_ADMIN and CAP_SYS_ADMIN: what root in an ordinary container has not got. */
const capabilities = (1n << 12n) | (1n << 21n);
const overlayMagic = 0x794c7630;
/** The engine's longest socket path adds so much to the temporary directory's; 107 is the limit. */
const socketPathLength = '/fairlead-labs/123456/host-100/exec/containerd/containerd.sock.ttrpc'
  .length;

/** What this machine lacks to run a lab: nothing is changed to find out, and nothing waited for. */
export function requirements(): Requirements {
  const path = searchPath();
  return {
    missing: commands.filter(
      ({ command }) => !path.some((directory) => existsSync(join(directory, command))),
    ),
    unsuitable: [...unsuitableSystem(), ...unsuitableDirectory()],
  };
}

/** The same for hosts that have a network of their own, and nothing else. */
export function networkRequirements(): Requirements {
  const { missing } = requirements();
  return {
    missing: missing.filter(({ command }) => command === 'ip'),
    unsuitable: unsuitableSystem(),
  };
}

/** The reasons why no lab can run here, in words; none if it can. */
export function reasonsAgainst({ missing, unsuitable }: Requirements): string[] {
  return [
    ...unsuitable.map(({ what, why }) => `${what}: ${why}`),
    ...missing.map(
      ({ command, debianPackage, why }) => `no ${command} (package ${debianPackage}): ${why}`,
    ),
  ];
}

function unsuitableSystem(): Unsuitable[] {
  if (process.platform !== 'linux') {
    return [{ what: process.platform, why: 'hosts are made of Linux namespaces' }];
  }
  const found: Unsuitable[] = [];
  if (process.getuid?.() !== 0) {
    found.push({ what: 'not root', why: 'hosts and engines need it' });
  } else if ((effectiveCapabilities() & capabilities) !== capabilities) {
    found.push({
      what: 'root without CAP_NET_ADMIN and CAP_SYS_ADMIN',
      why: 'namespaces, links and mounts need them; run in a virtual machine or privileged',
    });
  }
  if (!readFileSync('/proc/self/mountinfo', 'utf8').includes(' - cgroup')) {
    found.push({ what: 'no control groups', why: 'containers need them mounted' });
  }
  return found;
}

function unsuitableDirectory(): Unsuitable[] {
  const directory = tmpdir();
  const found: Unsuitable[] = [];
  const what = `the temporary directory ${directory}`;
  if (statfsSync(directory).type === overlayMagic) {
    const why =
      'it is an overlay itself, on which engines cannot stack; set TMPDIR to another place';
    found.push({ what, why });
  }
  if (!overlayAvailable()) {
    found.push({ what: 'no overlay file system', why: 'engines store images with it' });
  }
  if (`${directory}/`.startsWith('/run/')) {
    found.push({ what, why: 'each host hides /run behind its own; set TMPDIR to another place' });
  }
  if (directory.length + socketPathLength > 107) {
    const why = 'its path is too long for the sockets in it; set TMPDIR to a shorter one';
    found.push({ what, why });
  }
  return found;
}

/** Built in or loaded, or else a module that the engine's first mount loads. */
function overlayAvailable(): boolean {
  if (process.platform !== 'linux') return false;
  if (/\boverlay$/m.test(readFileSync('/proc/filesystems', 'utf8'))) return true;
  const release = readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim();
  const modules = `/lib/modules/${release}/modules.dep`;
  return existsSync(modules) && readFileSync(modules, 'utf8').includes('/overlay.ko');
}

function effectiveCapabilities(): bigint {
  const status = readFileSync('/proc/self/status', 'utf8');
  return BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
}
