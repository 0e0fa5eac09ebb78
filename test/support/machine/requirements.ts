import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { searchPath } from '../lab/command.ts';
import type { MissingCommand } from '../lab/requirements.ts';

const commands: readonly MissingCommand[] = [
  { command: 'debootstrap', debianPackage: 'debootstrap', why: 'machines are made with it' },
  { command: 'apt-get', debianPackage: 'apt', why: 'the OpenRC of a machine is fetched with it' },
  { command: 'dpkg-deb', debianPackage: 'dpkg', why: 'packages are made with it' },
  { command: 'curl', debianPackage: 'curl', why: 'a machine without Debian downloads with it' },
  { command: 'strip', debianPackage: 'binutils', why: 'executables are made small with it' },
];

/** What making packages and installing them on machines needs, beyond a lab. */
export function missingForMachines(): MissingCommand[] {
  return commands.filter(
    ({ command }) => !searchPath().some((directory) => existsSync(join(directory, command))),
  );
}

/** The reasons why no machine with systemd can be booted here. */
export function reasonsAgainstMachines(): string[] {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8');
  const bootable = / - cgroup .*name=systemd/.test(mounts) || / - cgroup2 /.test(mounts);
  return [
    ...(bootable ? [] : ['no control groups that systemd could use']),
    ...missingForMachines().map(
      ({ command, debianPackage, why }) => `no ${command} (package ${debianPackage}): ${why}`,
    ),
  ];
}
