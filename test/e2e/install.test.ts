import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { NodeState, type Node } from '../../client/index.ts';
import { eventually } from '../support/eventually.ts';
import { Fleet } from '../support/fleet/fleet.ts';
import { helloImage, startLabSite } from '../support/fleet/lab-site.ts';
import { programs } from '../support/fleet/programs.ts';
import { CommandError, run } from '../support/lab/command.ts';
import type { Lab } from '../support/lab/lab.ts';
import { busyboxRoot } from '../support/machine/busybox-root.ts';
import { debianRoot } from '../support/machine/debian-root.ts';
import { Machine } from '../support/machine/machine.ts';
import { openrcLayer } from '../support/machine/openrc-layer.ts';
import { describeWithMachines } from '../support/needs.ts';
import { TemporaryDirectory } from '../support/temporary-directory.ts';

const { signal } = new AbortController();
const packageScript = fileURLToPath(new URL('../../deploy/package.js', import.meta.url));

const patient = { timeoutMs: 30_000 };

/** A command that has to fail: what it said. */
async function failureOf(attempt: Promise<unknown>): Promise<string> {
  const error = await attempt.then(
    () => new Error('it did not fail'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof CommandError)) throw error as Error;
  return error.stderr;
}

describeWithMachines('installing', () => {
  const packages = new TemporaryDirectory();
  let fleet: Fleet;
  let lab: Lab;
  let debian: string;
  let machine: Machine;

  beforeAll(async () => {
    const made = Promise.all([
      run(process.execPath, [packageScript, '--out', packages.path], {}, signal),
      debianRoot(signal).then((root) => (debian = root)),
    ]);
    const site = await startLabSite({ hosts: 1, label: 'installing' }, signal);
    ({ lab } = site);
    await made;
    fleet = new Fleet(site, { packagesDir: packages.path });
    await fleet.startCoordinator(signal);
  });

  afterAll(async () => {
    await fleet[Symbol.asyncDispose]();
    await packages[Symbol.asyncDispose]();
  });

  const host = () => lab.hosts[0]!;

  async function boot(name: string): Promise<Machine> {
    return await Machine.boot(host(), { name, root: debian, manager: 'systemd' }, signal);
  }

  /** What the command line prints for a user. */
  async function joinLine(...flags: readonly string[]): Promise<string> {
    const args = [programs.cli, 'node', 'invite', '--tag', 'web', ...flags];
    const env = { FAIRLEAD_ADDRESS: fleet.address, FAIRLEAD_TOKEN: fleet.token };
    return (await run(process.execPath, args, { env }, signal)).trim();
  }

  async function nodes(): Promise<Node[]> {
    return (await fleet.client.control.listNodes({}, { signal })).nodes;
  }

  async function readyNode(name: string): Promise<Node> {
    return await eventually(
      async () => {
        const node = (await nodes()).find((candidate) => candidate.name === name);
        expect(node?.state).toBe(NodeState.READY);
        return node!;
      },
      { timeoutMs: 20_000 },
      signal,
    );
  }

  /** The script as it was packed, with a line of the user's own making. */
  async function install(
    on: Machine,
    { token = '', args }: { readonly token?: string; readonly args: readonly string[] },
  ): Promise<string> {
    const input = readFileSync(packages.join('install.sh'), 'utf8');
    const env: Record<string, string> = token === '' ? {} : { FAIRLEAD_TOKEN: token };
    return await on.run('sh', ['-s', '--', ...args], { input, env }, signal);
  }

  const address = () => ['--from', fleet.httpUrl, '--coordinator', fleet.address];
  const service = (on: Machine, property: string) =>
    on.paste(`systemctl show -P ${property} fairlead-agent`, signal).then((text) => text.trim());

  test('what is packed runs without Node, and a package made again is the same', async () => {
    const executable = packages.join('executable');
    await run(
      'sh',
      [
        '-c',
        'gzip -dc "$0"/fairlead-agent-linux-*.gz > "$1" && chmod 755 "$1"',
        packages.path,
        executable,
      ],
      {},
      signal,
    );
    expect(await run('env', ['-i', executable, '--version'], {}, signal)).toMatch(
      /^\d+\.\d+\.\d+\n$/,
    );
    await using again = new TemporaryDirectory();
    await run(process.execPath, [packageScript, '--out', again.path, 'proxy'], {}, signal);
    const [name = ''] = (await run('sh', ['-c', 'cd "$0" && echo *.deb', again.path], {}, signal))
      .trim()
      .split(' ');
    const hash = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');
    expect(hash(again.join(name))).toBe(hash(packages.join(name)));
  });

  test('a host with systemd is a ready node by one line, and has nothing of it left in the end', async () => {
    const bystander = (
      await host().docker(['run', '--detach', '--network', 'none', helloImage], signal)
    ).trim();
    machine = await boot('debian');
    await using _ = machine;
    const before = await machine.files(signal);
    const line = await joinLine();

    const said = await machine.paste(line, signal);
    expect(said).toContain('the agent runs');
    const node = await readyNode('debian');
    expect(node.tags).toContain('web');

    // It runs as nobody in particular, and the token that was in the line is nowhere any more.
    expect(await service(machine, 'DynamicUser')).toBe('yes');
    const pid = await service(machine, 'MainPID');
    const status = await machine.paste(`cat /proc/${pid}/status`, signal);
    expect(status).toMatch(/^Uid:\t[1-9]/m);
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    expect(status).toMatch(/^CapBnd:\t0+$/m);
    const secret = /FAIRLEAD_TOKEN=(\S+)/.exec(line)?.[1] ?? '';
    expect(secret).not.toBe('');
    const found = await machine.paste(
      `grep -rlF '${secret}' /etc /var /usr/local /root /tmp || true`,
      signal,
    );
    expect(found).toBe('');
    // Nor in the words of the script and the agent, nor in what can be seen of any process.
    const seen = await machine.paste(
      'journalctl --quiet --no-pager; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ',
      signal,
    );
    expect(seen).toContain('fairlead-agent-launcher');
    expect(said + seen).not.toContain(secret.slice(secret.indexOf('_') + 1).split('_')[1]);
    expect(await machine.paste('stat -c %a /etc/fairlead/agent.env', signal)).toBe('600\n');
    expect(await machine.paste('cat /var/lib/fairlead/agent/connected', signal)).toMatch(/^\d/);
    expect(await machine.paste('systemd-analyze verify fairlead-agent.service 2>&1', signal)).toBe(
      '',
    );

    // Again, with other tags and no token: the same node.
    const [, sha = ''] = /echo "([0-9a-f]{64})/.exec(line) ?? [];
    expect(sha).toHaveLength(64);
    const again = await install(machine, { args: ['--from', fleet.httpUrl, '--tag', 'other'] });
    expect(again).toContain('keeps its name and its tags');
    expect((await readyNode('debian')).id).toBe(node.id);
    expect(await service(machine, 'NRestarts')).toBe('0');

    // A line of another coordinator changes nothing, and neither does one that leads to nobody.
    const settings = await machine.paste('cat /etc/fairlead/agent.env', signal);
    const ofPackage = () => machine.paste('dpkg-query -s fairlead-agent', signal);
    const installed = await ofPackage();
    const { length } = secret;
    const foreign = `${secret.slice(0, length - 43)}${'A'.repeat(43)}`;
    expect(await failureOf(install(machine, { token: foreign, args: address() }))).toContain(
      `this host is a node of the coordinator at ${fleet.address}`,
    );
    const nobody = ['--from', fleet.httpUrl, '--coordinator', '127.0.0.1:1', '--wait', '2'];
    expect(await failureOf(install(machine, { args: nobody }))).toContain(
      'had no session with the coordinator within 2 seconds',
    );
    expect(await machine.paste('cat /etc/fairlead/agent.env', signal)).toBe(settings);
    expect(await ofPackage()).toBe(installed);
    expect((await readyNode('debian')).id).toBe(node.id);
    expect(await service(machine, 'NRestarts')).toBe('0');

    // A crash is mended.
    await machine.paste(`kill -KILL ${await service(machine, 'MainPID')}`, signal);
    await eventually(
      async () => {
        expect(await service(machine, 'NRestarts')).toBe('1');
        expect(await service(machine, 'ActiveState')).toBe('active');
      },
      { timeoutMs: 20_000 },
      signal,
    );
    expect((await readyNode('debian')).id).toBe(node.id);

    // Removed, and back with its identity; then gone for good.
    await install(machine, { args: ['--uninstall'] });
    expect(await service(machine, 'ActiveState')).toBe('inactive');
    await machine.paste(line, signal);
    expect((await readyNode('debian')).id).toBe(node.id);

    // A node that was removed is one anew by a line.
    await fleet.client.control.removeNode({ node: 'debian' });
    await machine.paste(await joinLine(), signal);
    expect((await readyNode('debian')).id).not.toBe(node.id);
    await install(machine, { args: ['--uninstall', '--purge'] });
    expect(await machine.files(signal)).toEqual(before);
    expect(await install(machine, { args: ['--uninstall'] })).toContain('there was no agent');

    const running = await host().docker(['ps', '--quiet', '--no-trunc'], signal);
    expect(running).toContain(bystander);
    await host().docker(['rm', '--force', bystander], signal);
  });

  test.each(['deb', 'executable'])(
    'what fails half-way leaves a host as it was: %s',
    async (form) => {
      await using unlucky = await boot(`unlucky-${form}`);
      const before = await unlucky.files(signal);
      const args = ['--form', form, '--wait', '3'];
      const token = await fleet.joinToken();

      // The coordinator does not take the token.
      const wrong = token.replace(/^flt_[0-9a-f]{8}/, 'flt_00000000');
      // Whoever interrupts it meanwhile gets the host as it was all the same.
      const hasty = '/usr/local/bin/systemctl';
      await unlucky.run('tee', [hasty], { input: interruptingSystemctl }, signal);
      await unlucky.paste(`chmod 755 ${hasty}`, signal);
      const refused = await failureOf(
        install(unlucky, {
          token: wrong,
          args: [...address(), ...args],
        }),
      );
      expect(refused).toContain('did not join within 3 seconds');
      expect(refused).toContain('fairlead token create');
      expect(refused).not.toContain(wrong);
      await unlucky.paste(`rm ${hasty}`, signal);
      expect(await unlucky.files(signal)).toEqual(before);

      // What is downloaded is something else.
      await using liar = await serve(lab.gateway, (name) => {
        const content = readFileSync(packages.join(name));
        content[content.length - 10]! ^= 1;
        return content;
      });
      const from = ['--from', liar.url, '--coordinator', fleet.address];
      const changed = await failureOf(install(unlucky, { token, args: [...from, ...args] }));
      expect(changed).toContain('is not what belongs to this script');
      expect(await unlucky.files(signal)).toEqual(before);

      // There is no room for it.
      await unlucky.paste(
        'mkdir -p /usr/local/libexec && mount -t tmpfs -o size=8M tmpfs /usr/local/libexec',
        signal,
      );
      const full = await failureOf(install(unlucky, { token, args: [...address(), ...args] }));
      expect(full).toContain('cannot download');
      expect(
        await unlucky.paste(
          'ls -A /usr/local/libexec; umount /usr/local/libexec && rmdir /usr/local/libexec',
          signal,
        ),
      ).toBe('');
      expect(await unlucky.files(signal)).toEqual(before);

      // And then it works after all.
      await install(unlucky, { token, args: [...address(), ...args.slice(0, 2)] });
      await readyNode(`unlucky-${form}`);
      await install(unlucky, { args: ['--uninstall', '--purge'] });
      expect(await unlucky.files(signal)).toEqual(before);
    },
  );

  test('a host with Node runs the small bundle as a service, installed by another shell', async () => {
    await using noded = await boot('noded');
    await using shop = await serve(lab.gateway, () => readFileSync(process.execPath));
    await noded.paste(
      `wget -qO /usr/local/bin/node ${shop.url}/node && chmod 755 /usr/local/bin/node`,
      signal,
    );
    const before = await noded.files(signal);
    const args = [...address(), '--form', 'bundle', '--tag', 'bundled'];
    const input = readFileSync(packages.join('install.sh'), 'utf8');
    const env = { FAIRLEAD_TOKEN: await fleet.joinToken() };
    const posix = ['-c', 'umask 077 && exec bash --posix -s -- "$@"', 'sh', ...args];
    expect(await noded.run('sh', posix, { input, env }, signal)).toContain('the agent runs');
    const { id, tags } = await readyNode('noded');
    expect(tags).toContain('bundled');
    expect(await service(noded, 'ExecStart')).toContain('/usr/local/bin/node');
    const pid = await service(noded, 'MainPID');
    const processes = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '";
    expect(await noded.paste(processes, signal)).toContain(
      '/usr/local/bin/node /usr/local/libexec/fairlead/fairlead-agent.cjs',
    );
    // Again without a form: it stays what it is, and who it is.
    await install(noded, { args: ['--from', fleet.httpUrl] });
    expect(await service(noded, 'MainPID')).not.toBe(pid);
    expect((await readyNode('noded')).id).toBe(id);

    // Another form takes its place.
    await install(noded, { args: ['--from', fleet.httpUrl, '--form', 'deb'] });
    expect((await readyNode('noded')).id).toBe(id);
    expect(await service(noded, 'FragmentPath')).toBe('/lib/systemd/system/fairlead-agent.service');
    expect(await noded.paste('ls -d /usr/local/libexec/* || true', signal)).toBe('');

    // To join anew has to be said: here as another node, because the name is taken.
    const anew = ['--rejoin', '--name', 'noded-2'];
    const token = await fleet.joinToken();
    await install(noded, { token, args: [...address(), ...anew] });
    expect((await readyNode('noded-2')).id).not.toBe(id);
    await install(noded, { args: ['--uninstall', '--purge'] });
    expect(await noded.files(signal)).toEqual(before);
  });

  test('a line whose script was changed on the way does nothing', async () => {
    await using other = await boot('other');
    const before = await other.files(signal);
    await using liar = await serve(lab.gateway, () => Buffer.from('#!/bin/sh\ntouch /etc/owned\n'));
    const line = (await joinLine()).replaceAll(fleet.httpUrl, liar.url);
    expect(await failureOf(other.paste(line, signal))).toContain('did NOT match');
    expect(await other.files(signal)).toEqual(before);
  });

  test('a host with neither systemd nor dpkg nor Node is a ready node by the same line', async () => {
    await using root = new TemporaryDirectory();
    await busyboxRoot(root.path, signal);
    await using tiny = await Machine.boot(
      host(),
      { name: 'tiny', root: root.path, manager: null },
      signal,
    );
    // Without a library that Node needs, as where another C library is in its place.
    const library = (
      await tiny.paste('find /usr/lib /lib -name "libstdc++*" | head -n 1', signal)
    ).trim();
    const everything = () => tiny.paste('find / -xdev ! -path "/tmp/*" | sort', signal);
    const before = await everything();
    const line = await joinLine();
    await tiny.paste(`mv ${library} /run/`, signal);
    const foreign = await failureOf(tiny.paste(line, signal));
    expect(foreign).toContain('what was downloaded does not run on this host');
    expect(foreign).toContain('install Node 20.11 or later, then try again with --form bundle');
    expect(foreign).not.toContain('musl');
    await tiny.paste('touch /lib/ld-musl-x86_64.so.1', signal);
    const musl = await failureOf(tiny.paste(line, signal));
    expect(musl).toContain('it needs glibc, and this host has the C library musl; install Node');
    await tiny.paste('rm /lib/ld-musl-x86_64.so.1', signal);
    await tiny.paste(`mv /run/libstdc++* ${library}`, signal);
    expect(await everything()).toBe(before);

    // As where SELinux rules, and its policy has no word for one of them.
    const relabels = '/usr/bin/restorecon';
    const words = '#!/bin/sh\necho "$@" >> /run/labelled; [ "$2" != /etc/fairlead ]\n';
    await tiny.paste(`printf '${words}' > ${relabels} && chmod 755 ${relabels}`, signal);
    const said = await tiny.paste(line, signal);
    expect(said).toContain('/usr/local/libexec/fairlead/run-agent');
    expect(said).toContain('warning: restorecon could not label /etc/fairlead');
    const labelled = await tiny.paste('cat /run/labelled', signal);
    expect(labelled.trim().split('\n')).toEqual([
      '-R /usr/local/libexec/fairlead',
      '-R /etc/fairlead',
    ]);
    await tiny.paste('/usr/local/libexec/fairlead/run-agent > /run/agent.log 2>&1 &', signal);
    await readyNode('tiny');
    const secret = /FAIRLEAD_TOKEN=(\S+)/.exec(line)?.[1] ?? 'no token';
    expect(await tiny.paste(`grep -rlF '${secret}' /etc /var /usr/local || true`, signal)).toBe('');
    expect(await install(tiny, { args: ['--uninstall', '--purge'] })).toContain(
      'removed the agent',
    );
    expect(await tiny.paste('pidof fairlead-agent || true', signal)).toBe('');
    expect(
      await tiny
        .paste('find /usr/local /etc/fairlead /var/lib/fairlead 2> /dev/null', signal)
        .catch(() => ''),
    ).not.toContain('fairlead');
  });

  test('a host with OpenRC is a ready node by the same line, after a crash and a boot too, until it is uninstalled', async () => {
    const root = `${await openrcLayer(debian, signal)}:${debian}`;
    const options = { name: 'openrc', root, manager: 'openrc' } as const;
    await using first = await Machine.boot(host(), options, signal);
    let machine = first;
    const before = await machine.files(signal);

    // What cannot join is changed back, as it was.
    const token = (await fleet.joinToken()).replace(/^flt_.{16}/, 'flt_0123456789abcdef');
    const failed = await failureOf(
      install(machine, { token, args: [...address(), '--wait', '3'] }),
    );
    expect(failed).toContain('does not let this host join: the token is not valid');
    expect(failed).toContain('the agent did not join within 3 seconds');
    expect(await machine.files(signal)).toEqual(before);

    expect(await machine.paste(await joinLine(), signal)).toContain(
      'the agent runs, as the service fairlead-agent',
    );
    const { id } = await readyNode('openrc');
    const pids = () => machine.paste('pidof fairlead-agent || true', signal);
    // The agent that runs says so once it has a session, and takes it back when it begins.
    const connected = '/var/lib/fairlead/agent/connected';
    const hasSession = () =>
      eventually(() => machine.paste(`test -e ${connected}`, signal), patient, signal);
    const crashed = await pids();
    await machine.paste(`rm ${connected} && kill -9 ${crashed}`, signal);
    await hasSession();
    expect(await pids()).not.toBe(crashed);
    // It belongs to what is started at boot.
    await machine.paste(`rm ${connected}`, signal);
    await first[Symbol.asyncDispose]();
    await using second = await Machine.boot(host(), options, signal);
    machine = second;
    await hasSession();
    expect((await readyNode('openrc')).id).toBe(id);

    // What is installed over it in vain is changed back: it runs on, at the time of boot that its user chose.
    const elsewhere = 'rc-update del fairlead-agent default && rc-update add fairlead-agent boot';
    await machine.paste(`${elsewhere} && rm ${connected}`, signal);
    const vain = ['--from', fleet.httpUrl, '--coordinator', '127.0.0.1:1', '--wait', '1'];
    expect(await failureOf(install(machine, { args: vain }))).toContain('had no session');
    expect(await machine.paste('rc-update show', signal)).toMatch(/fairlead-agent \| *boot *$/m);
    await hasSession();

    expect(await install(machine, { args: ['--uninstall', '--purge'] })).toContain(
      'removed the agent',
    );
    expect(await pids()).toBe('');
    expect(await machine.files(signal)).toEqual(before);
    await fleet.client.control.removeNode({ node: 'openrc' });
  });

  test('the images are built from what is packed, and make a fleet of their own', async () => {
    const docker = (...args: readonly string[]) => host().docker(args, signal);
    const listed = await docker('image', 'ls', '--format', '{{.Repository}}:{{.Tag}}');
    const base = listed.split('\n').find((tag) => tag.startsWith('fairlead-lab/base:')) ?? '';
    for (const name of ['coordinator', 'agent', 'proxy']) {
      const context = packages.join('images', name);
      await docker(
        'build',
        '--quiet',
        '--build-arg',
        `BASE=${base}`,
        '--tag',
        `own/${name}`,
        context,
      );
      expect(await docker('run', '--rm', `own/${name}`, '--version')).toMatch(/^\d+\.\d+\.\d+$/m);
    }
    const run = (name: string, ...args: readonly string[]) =>
      docker('run', '--detach', '--name', name, '--network', 'host', ...args);
    const cli = (...args: readonly string[]) => docker('exec', 'coordinator', 'fairlead', ...args);
    const where = `${host().address}:7600`;
    const admin = '/var/lib/fairlead/coordinator/admin.token';
    const asAdmin = [
      '--env',
      `FAIRLEAD_TOKEN_FILE=${admin}`,
      '--env',
      'FAIRLEAD_ADDRESS=127.0.0.1:7600',
    ];
    await run('coordinator', ...asAdmin, '--env', `FAIRLEAD_ADVERTISE=${where}`, 'own/coordinator');
    const token = await eventually(
      () => cli('token', 'create', 'hosts', '--role', 'node'),
      { timeoutMs: 30_000 },
      signal,
    );
    const dial = [
      '--env',
      `FAIRLEAD_COORDINATOR=${where}`,
      '--env',
      `FAIRLEAD_TOKEN=${token.trim()}`,
    ];
    const socket = ['--volume', `${host().dockerSocket}:/var/run/docker.sock`];
    const state = ['--volume', 'agent-state:/var/lib/fairlead/agent'];
    await run('agent', ...dial, ...socket, ...state, '--env', 'FAIRLEAD_NAME=imaged', 'own/agent');
    const ready = async () => {
      const nodes = JSON.parse(await cli('node', 'ls', '--json')) as {
        name: string;
        state: string;
      }[];
      expect(nodes.map(({ name, state }) => `${name} ${state}`)).toEqual([
        'imaged NODE_STATE_READY',
      ]);
    };
    await eventually(ready, { timeoutMs: 30_000 }, signal);
    expect(await cli('node', 'invite')).toContain('/install.sh');
    // Another container with the same volume is the same node; and so is the coordinator after a restart.
    await docker('rm', '--force', 'agent');
    await docker('restart', 'coordinator');
    await run('agent', ...dial, ...socket, ...state, 'own/agent');
    await eventually(ready, { timeoutMs: 30_000 }, signal);
    await docker('rm', '--force', '--volumes', 'agent', 'coordinator');
  });

  test('bad input is refused before anything is done', async () => {
    await using careful = await boot('careful');
    const before = await careful.files(signal);
    const token = await fleet.joinToken();
    for (const [words, args] of [
      ['there is no option --nope', ['--nope']],
      ['the value of --tag has characters', [...address(), '--tag', 'a;reboot']],
      ['--from is missing', []],
      ['--coordinator is missing', ['--from', fleet.httpUrl]],
      ['no Node 20.11', [...address(), '--form', 'bundle']],
      ['--purge goes with --uninstall', [...address(), '--purge']],
    ] as const) {
      expect(await failureOf(install(careful, { token, args }))).toContain(words);
    }
    expect(await failureOf(install(careful, { args: address() }))).toContain(
      'FAIRLEAD_TOKEN has no token',
    );
    expect(await careful.files(signal)).toEqual(before);
  });

  test('coordinator and proxy run as services of their packages', async () => {
    await using server = await boot('server');
    // Debian's own HAProxy is not ours.
    await server.paste('systemctl --quiet disable --now haproxy', signal);
    const before = await server.files(signal);
    for (const name of ['coordinator', 'proxy']) {
      const [file = ''] = readdirSync(packages.path).filter((entry) =>
        new RegExp(`^fairlead-${name}_.*\\.deb$`).test(entry),
      );
      const url = `${fleet.httpUrl}/packages/${file}`;
      await server.paste(
        `wget -qO /run/${file} --no-check-certificate ${url} && dpkg --install /run/${file}`,
        signal,
      );
    }
    await eventually(
      () => server.paste('wget -qO- --no-check-certificate https://127.0.0.1:7601/healthz', signal),
      { timeoutMs: 20_000 },
      signal,
    );
    const directory = '/var/lib/fairlead/coordinator';
    expect(
      await server.paste(`stat -c '%U %a' ${directory} ${directory}/admin.token`, signal),
    ).toBe('fairlead-coordinator 700\nfairlead-coordinator 600\n');
    const asAdmin = `FAIRLEAD_TOKEN_FILE=${directory}/admin.token FAIRLEAD_ADDRESS=127.0.0.1:7600`;
    expect(await server.paste(`${asAdmin} fairlead node ls --json`, signal)).toContain('[]');
    expect(await server.paste(`${asAdmin} fairlead node invite --json`, signal)).toContain(
      'sha256sum',
    );

    await server.paste(
      `export ${asAdmin}
      fairlead service create --name lb --role proxy --publish 8080:80 ${helloImage} > /dev/null
      echo FAIRLEAD_COORDINATOR=127.0.0.1:7600 >> /etc/fairlead/proxy.env
      echo FAIRLEAD_SERVICE=lb >> /etc/fairlead/proxy.env
      echo FAIRLEAD_TOKEN=$(fairlead token create edge --role proxy --service lb) >> /etc/fairlead/proxy.env
      systemctl restart fairlead-proxy`,
      signal,
    );
    const ping = () => server.paste('wget -qO- http://127.0.0.1:8080/_lb_ping', signal);
    await eventually(ping, { timeoutMs: 20_000 }, signal);
    // A restart of the agent leaves HAProxy as it is.
    const pids = () => server.paste('pidof haproxy', signal);
    const serving = await pids();
    await server.paste('systemctl restart fairlead-proxy', signal);
    await ping();
    expect(await pids()).toBe(serving);
    for (const name of ['coordinator', 'proxy']) {
      expect(
        await server.paste(`systemd-analyze verify fairlead-${name}.service 2>&1`, signal),
      ).toBe('');
    }
    await server.paste('dpkg --purge fairlead-coordinator fairlead-proxy && rm /run/*.deb', signal);
    expect(await failureOf(pids())).toBe('');
    const accounts = /^\/etc\/(passwd|group|g?shadow|subuid|subgid)-? |^\/etc (d)/;
    const comparable = (files: readonly string[]) => files.filter((file) => !accounts.test(file));
    expect(comparable(await server.files(signal))).toEqual(comparable(before));
  });

  // Last, because from then on the coordinator serves another version.
  test('a host becomes another version, and its containers do not notice', async () => {
    await using newer = new TemporaryDirectory();
    const packing = run(
      process.execPath,
      [packageScript, '--out', newer.path, '--as-version', '9.9.9', 'agent'],
      {},
      signal,
    );
    await using upgraded = await boot('upgraded');
    const before = await upgraded.files(signal);
    await upgraded.paste(await joinLine('--tag', 'upgraded'), signal);
    const node = await readyNode('upgraded');
    const { action } = await fleet.client.control.createService({
      name: 'bystander',
      spec: { image: helloImage, replicas: 1, tags: ['upgraded'] },
      start: true,
    });
    await fleet.client.waitForAction(action!.id, {}, signal);
    const life = async () => {
      const format = '{{.ID}} {{.State.StartedAt}} {{.RestartCount}} {{.State.Pid}}';
      const ids = await host().docker(['ps', '--quiet', '--no-trunc'], signal);
      return await host().docker(
        ['inspect', '--format', format, ...ids.trim().split('\n')],
        signal,
      );
    };
    const lived = await life();
    const supervised = await service(upgraded, 'MainPID');

    await packing;
    await fleet.coordinator.kill(signal);
    fleet.packagesDir = newer.path;
    await fleet.startCoordinator(signal);
    await readyNode('upgraded');
    const upgrade = async (...flags: readonly string[]) => {
      const args = [programs.cli, 'node', 'upgrade', 'upgraded', ...flags];
      const env = { FAIRLEAD_ADDRESS: fleet.address, FAIRLEAD_TOKEN: fleet.token };
      return await run(process.execPath, args, { env }, signal);
    };
    expect(await upgrade('--dry-run')).toMatch(/upgrade +upgraded +.*to 9\.9\.9: first, alone/);

    // There is no room for it.
    const versions = '/var/lib/private/fairlead/agent/versions';
    const inside = `nsenter --target ${supervised} --mount`;
    const tmpfs = `mount -t tmpfs -o size=4M,mode=777 tmpfs ${versions}`;
    await upgraded.paste(`${inside} ${tmpfs}`, signal);
    expect(await failureOf(upgrade())).toContain('there is no room for it in');
    await upgraded.paste(`${inside} umount ${versions}`, signal);
    expect((await readyNode('upgraded')).description?.agentVersion).not.toBe('9.9.9');

    expect(await upgrade()).toContain('9.9.9');
    const after = await readyNode('upgraded');
    expect([after.id, after.description?.agentVersion]).toEqual([node.id, '9.9.9']);
    expect(await life()).toBe(lived);
    expect(await service(upgraded, 'MainPID')).toBe(supervised);
    expect(await upgraded.paste(`stat -Lc %a ${versions}`, signal)).toBe('700\n');

    // It is what runs from then on, until another is installed or all is taken away.
    await upgraded.paste('systemctl restart fairlead-agent', signal);
    await eventually(
      async () => {
        expect(await service(upgraded, 'MainPID')).not.toBe(supervised);
        expect((await readyNode('upgraded')).description?.agentVersion).toBe('9.9.9');
      },
      { timeoutMs: 20_000 },
      signal,
    );
    expect(await life()).toBe(lived);

    // A package that is installed in vain is taken back, and what was chosen before it still is.
    const packaged = () =>
      upgraded.paste("dpkg-query -W -f '${Version} ${db:Status-Status}' fairlead-agent", signal);
    const earlier = await packaged();
    const script = readFileSync(newer.join('install.sh'), 'utf8');
    const byHand = (...args: readonly string[]) =>
      upgraded.run('sh', ['-s', '--', ...args], { input: script }, signal);
    const nobody = ['--coordinator', '127.0.0.1:1', '--wait', '2'];
    expect(await failureOf(byHand('--from', fleet.httpUrl, ...nobody))).toContain('had no session');
    expect(await packaged()).toBe(earlier);
    await eventually(
      async () => {
        const running = await upgraded.paste(
          'readlink /proc/$(pidof -s fairlead-agent)/exe',
          signal,
        );
        expect(running).toContain('/versions/9.9.9_');
      },
      { timeoutMs: 20_000 },
      signal,
    );
    await readyNode('upgraded');

    // One that is installed by hand is what runs.
    await byHand('--from', fleet.httpUrl);
    expect(await packaged()).toContain('9.9.9');
    expect(await upgraded.paste(`ls ${versions}`, signal)).toBe('installed\n');
    expect(await life()).toBe(lived);
    await install(upgraded, { args: ['--uninstall', '--purge'] });
    expect(await upgraded.files(signal)).toEqual(before);
    expect(await life()).toBe(lived);
  });
});

/** Interrupts the script that runs it where that only changes back. */
const interruptingSystemctl = `#!/bin/sh
case "$*" in *disable*) kill -INT $PPID ;; esac
exec /usr/bin/systemctl "$@"
`;

/** A server that is not the coordinator; it answers every name. */
async function serve(
  host: string,
  contentOf: (name: string) => Buffer,
): Promise<AsyncDisposable & { readonly url: string }> {
  const server = createServer((request, response) => {
    response.end(contentOf((request.url ?? '').replace(/.*\//, '')));
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${host}:${port}`,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => {
          resolve();
        });
      }),
  };
}
