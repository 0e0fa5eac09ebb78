import { chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run as runCommand, type CommandOptions } from '../lab/command.ts';
import type { LabHost } from '../lab/lab-host.ts';
import type { LabProcess } from '../lab/lab-process.ts';
import { programOf } from '../lab/proc.ts';
import { systemClock } from '../../../shared/clock.ts';
import { eventually } from '../eventually.ts';

/** The group of Docker's socket, as Docker's own package would make it. */
const dockerGroup = 4242;
const bootDeadlineMs = 60_000;

export interface MachineOptions {
  readonly name: string;
  /** A root file system; it stays as it is. */
  readonly root: string;
  /** What boots it and starts its services; null: nothing runs but what tests start. */
  readonly manager: Manager | null;
}

type Manager = 'systemd' | 'openrc';

const inits: Readonly<Record<Manager, string>> = {
  systemd: '/lib/systemd/systemd',
  openrc: '/sbin/openrc-init',
};

/** Ends well once it has started what is started at boot. */
const isBooted: Readonly<Record<Manager, string>> = {
  systemd: 'systemctl is-system-running --wait',
  openrc: 'grep -qx default /run/openrc/softlevel && ! test -e /run/openrc/rc.starting',
};

/**
 * A machine with a root file system and processes of its own, whose network and Docker Engine are those of a
 * host of a lab. Its changes are laid over its root and go with it.
 */
export class Machine implements AsyncDisposable {
  readonly #process: LabProcess;
  readonly #init: number;

  private constructor(process: LabProcess, init: number) {
    this.#process = process;
    this.#init = init;
  }

  /** Resolves when it has booted. */
  static async boot(
    host: LabHost,
    { name, root, manager }: MachineOptions,
    signal: AbortSignal,
  ): Promise<Machine> {
    const directory = join(host.directory, name);
    for (const part of ['upper', 'work', 'root']) {
      mkdirSync(join(directory, part), { recursive: true });
    }
    chownSync(host.dockerSocket, 0, dockerGroup);
    const script = join(directory, 'boot.sh');
    writeFileSync(script, bootScript);
    const environment = {
      LOWER: root,
      MACHINE: directory,
      NAME: name,
      SOCKET: host.dockerSocket,
      GROUP: String(dockerGroup),
      CGROUP: `${host.cgroup}/${name}`,
      INIT: manager === null ? '/bin/sleep 1000000' : inits[manager],
    };
    const process = await host.spawn('sh', [script], { name, env: environment });
    const init = await bootedProcess(process, signal);
    const machine = new Machine(process, init);
    if (manager !== null) {
      await eventually(
        () => machine.paste(isBooted[manager], signal),
        { timeoutMs: bootDeadlineMs },
        signal,
      );
    }
    return machine;
  }

  /** Runs a command on the machine to its end and returns what it wrote to stdout. */
  async run(
    command: string,
    args: readonly string[],
    options: CommandOptions,
    signal: AbortSignal,
  ): Promise<string> {
    const namespaces = ['--mount', '--uts', '--ipc', '--pid', '--cgroup', '--net'];
    const variables = ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'];
    const { env = {}, ...others } = options;
    for (const [name, value] of Object.entries(env)) variables.push(`${name}=${value}`);
    return await runCommand(
      'nsenter',
      [
        ...['--target', String(this.#init), ...namespaces, '--root', '--wd'],
        ...['--', 'env', '-i', ...variables, command, ...args],
      ],
      others,
      signal,
    );
  }

  /** Runs a line as it is pasted into a root shell. */
  async paste(line: string, signal: AbortSignal): Promise<string> {
    return await this.run('sh', ['-c', line], {}, signal);
  }

  /** Every file and directory that a user would see, with type, mode, owner and size; without logs. */
  async files(signal: AbortSignal): Promise<string[]> {
    const noise = [
      '/var/log',
      '/var/lib/dpkg',
      '/var/lib/systemd',
      '/var/cache',
      '/tmp',
      '/var/tmp',
    ];
    const prune = noise.flatMap((path) => ['-path', path, '-prune', '-o']);
    const format = '%p %y %m %u:%g\\n';
    const all = ['/', '-xdev', ...prune, '-printf', format];
    const output = await this.run('find', all, {}, signal);
    return output.split('\n').sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.kill(AbortSignal.timeout(bootDeadlineMs));
  }
}

/** The machine's first process, once it has taken the place of the script that made the machine. */
async function bootedProcess(process: LabProcess, signal: AbortSignal): Promise<number> {
  const { pid } = process;
  while (process.isRunning()) {
    const child = childOf(pid);
    if (child !== undefined && /^(systemd|openrc-init|sleep)$/.test(programOf(child) ?? ''))
      return child;
    await systemClock.sleep(10, signal);
    signal.throwIfAborted();
  }
  throw new Error(`the machine ${process.name} did not boot:\n${process.log()}`);
}

function childOf(pid: number): number | undefined {
  try {
    const child = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    return child === '' ? undefined : Number(child);
  } catch {
    return undefined;
  }
}

/**
 * Makes the machine in namespaces of its own, and becomes its first process. Everything that is mounted goes
 * with the namespace.
 */
const bootScript = `
set -e
for directory in /sys/fs/cgroup/systemd /sys/fs/cgroup; do
  [ -e "$directory/cgroup.procs" ] || continue
  mkdir -p "$directory$CGROUP"
  echo $$ > "$directory$CGROUP/cgroup.procs"
  break
done
exec unshare --mount --uts --ipc --pid --cgroup --fork --kill-child=KILL sh -ec '
  mount --make-rprivate /
  mount -t overlay -o "lowerdir=$LOWER,upperdir=$MACHINE/upper,workdir=$MACHINE/work" overlay "$MACHINE/root"
  cd "$MACHINE/root"
  hostname "$NAME"
  mkdir -p dev proc sys run tmp etc var
  [ -e var/run ] || ln -s /run var/run
  mount -t proc proc proc
  mount -t sysfs -o ro sysfs sys
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 sys/fs/cgroup
  else
    mount -t tmpfs tmpfs sys/fs/cgroup
    mkdir sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
  fi
  mount -t tmpfs -o mode=755 tmpfs run
  mount -t tmpfs -o mode=1777 tmpfs tmp
  mount -t tmpfs -o mode=755 tmpfs dev
  for device in null zero full random urandom tty; do
    : > dev/$device
    mount --bind /dev/$device dev/$device
  done
  mkdir dev/pts dev/shm
  mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
  ln -s pts/ptmx dev/ptmx
  : > run/docker.sock
  mount --bind "$SOCKET" run/docker.sock
  grep -q ^docker: etc/group || echo "docker:x:$GROUP:" >> etc/group
  echo "$NAME" > etc/hostname
  mkdir run/old
  pivot_root . run/old
  umount -l /run/old
  rmdir /run/old
  exec env -i container=fairlead PATH=/usr/sbin:/usr/bin:/sbin:/bin $INIT
'
`;
