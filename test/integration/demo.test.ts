import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { helloImage, proxyImage } from '../support/fleet/lab-site.ts';
import { programs } from '../support/fleet/programs.ts';
import { cgroupDirectories } from '../support/lab/cgroups.ts';
import { run } from '../support/lab/command.ts';
import type { ImageSeed } from '../support/lab/image-seed.ts';
import { prepareImages } from '../support/lab/images.ts';
import type { LabHost } from '../support/lab/lab-host.ts';
import { Lab } from '../support/lab/lab.ts';
import { isRunning, type ProcessIdentity } from '../support/lab/proc.ts';
import { describeWithLab } from '../support/needs.ts';
import { TemporaryDirectory } from '../support/temporary-directory.ts';

const { signal } = new AbortController();
const program = new URL('../demo/demo.js', import.meta.url).pathname;
const clone = new URL('../..', import.meta.url).pathname;
const asUserScript = `
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir /mnt/clone /mnt/user
touch /mnt/node
mount --bind "$0" /mnt/node
mount --bind "$1" /mnt/clone
mount --bind "$2" /mnt/user
shift 2
exec setpriv "$@"
`;
const short = ['--json', '--steps', '0-1'];

/** What the demo prints with `--json`. */
interface Document {
  readonly ok: boolean;
  readonly caveat: string;
  readonly checks: readonly { readonly id: string; readonly ok: boolean; readonly seen: string }[];
  readonly fleet?: {
    readonly address: string;
    readonly token: string;
    readonly httpUrl: string;
    readonly loadBalancer: string;
  };
}

interface DemoProcess {
  readonly kill: (name: NodeJS.Signals) => boolean;
  readonly ended: Promise<{ stdout: string; stderr: string; status: number | null }>;
}

/** The images of the tutorial, as a demo finds them when it is not the first. */
async function tutorialImages(): Promise<ImageSeed> {
  const proxy = { tag: proxyImage, bundlePath: programs.proxy };
  return await prepareImages({ hello: helloImage, proxy }, signal);
}

describeWithLab('the demo on hosts of its own', () => {
  let temporary: TemporaryDirectory;
  let labs: string;
  const started: DemoProcess[] = [];

  beforeAll(async () => {
    temporary = new TemporaryDirectory();
    labs = temporary.join('fairlead-labs');
    await tutorialImages();
    // Demos of this directory alone are seen, so none that somebody kept is removed.
    symlinkSync(join(tmpdir(), 'fairlead-images'), temporary.join('fairlead-images'));
  });
  afterAll(async () => {
    for (const { kill, ended } of started) {
      kill('SIGINT');
      await ended;
    }
    await demo(['--down']).ended;
    await temporary[Symbol.asyncDispose]();
  });

  /** Starts a demo whose fleet is in the directory of this test. */
  function demo(args: readonly string[]): DemoProcess {
    const child = spawn(process.execPath, [program, ...args], {
      env: { ...process.env, TMPDIR: temporary.path, DOCKER_HOST: 'unix:///nonexistent' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]).then(
      ([stdout, stderr, [status]]) => ({ stdout, stderr, status: status as number | null }),
    );
    const running = { kill: (name: NodeJS.Signals) => child.kill(name), ended };
    started.push(running);
    return running;
  }

  const listLabs = () => (existsSync(labs) ? readdirSync(labs).filter((id) => /^\w/.test(id)) : []);

  /** Resolves to the id of a lab that was not there before, once its coordinator was started. */
  const nextLab = (before: readonly string[]) =>
    eventually(
      () => {
        const id = listLabs().find((each) => !before.includes(each));
        expect(existsSync(join(labs, id ?? '', 'coordinator'))).toBe(true);
        return id!;
      },
      { timeoutMs: 60_000 },
    );

  test('leaves what it is told to keep, and then removes it together with what was killed', async () => {
    const kept = demo([...short, '--keep']);
    const keptId = await nextLab([]);
    const killed = demo(short);
    const killedId = await nextLab([keptId]);
    killed.kill('SIGKILL');
    await ownerGone(join(labs, killedId, 'lab.json'));

    const { stdout, stderr, status } = await kept.ended;
    const document = JSON.parse(stdout) as Document;
    expect(document.checks.filter(({ ok }) => !ok)).toEqual([]);
    expect(document).toMatchObject({ ok: true, caveat: '' });
    expect(document.checks.map(({ id }) => id)).toEqual(['0.T', '1.T1', '1.T2', '1.T4', '1.T5']);
    expect(status).toBe(0);

    const pasted = await paste(stderr, ['service run --name page --publish 80:80 ' + helloImage]);
    expect(pasted).toContain('My hostname is page-1');
    expect(pasted).toContain('"services":[{"id":');

    const down = await demo(['--json', '--down']).ended;
    const { removed, running, failures } = JSON.parse(down.stdout) as Record<string, string[]>;
    expect({ removed: removed?.sort(), running, failures }).toEqual({
      removed: [keptId, killedId].sort(),
      running: [],
      failures: [],
    });
    expect([...tracesOf(keptId, labs), ...tracesOf(killedId, labs)]).toEqual([]);
  }, 120_000);

  test('is gone a moment after Ctrl-C, without a trace', async () => {
    const interrupted = demo(short);
    const id = await nextLab([]);
    interrupted.kill('SIGINT');
    expect(await interrupted.ended).toMatchObject({ status: 130, stdout: '' });
    expect(tracesOf(id, labs)).toEqual([]);
  });
});

describeWithLab('the demo on the one engine of a user without rights', () => {
  const nobody = 65_534;
  let temporary: TemporaryDirectory;
  let home: string;
  let images: ImageSeed;
  let lab: Lab;
  let host: LabHost;

  beforeAll(async () => {
    temporary = new TemporaryDirectory();
    home = temporary.join('home');
    mkdirSync(home);
    chmodSync(temporary.path, 0o755);
    chownSync(home, nobody, nobody);
    const socket = `unix://${temporary.join('docker.sock')}`;
    const engine = { args: ['--host', socket, '--group', String(nobody)] };
    images = await tutorialImages();
    lab = await Lab.start({ hosts: 1, images, engine, label: 'engine of a user' }, signal);
    [host] = lab.hosts as [LabHost];
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
    await temporary[Symbol.asyncDispose]();
  });

  const env = {
    HOME: '/mnt/user/home',
    TMPDIR: '/mnt/user/home',
    DOCKER_HOST: 'unix:///mnt/user/docker.sock',
  };
  /** Shows node, this clone and a directory to a user who may not enter where they really are. */
  const asUser = (args: readonly string[]) => [
    '--mount',
    ...['sh', '-ec', asUserScript, process.execPath, clone, temporary.path],
    ...[`--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups'],
    ...['/mnt/node', '/mnt/clone/test/demo/demo.js', ...args],
  ];
  const demo = async (args: readonly string[]) =>
    JSON.parse(await host.run('unshare', asUser(args), { env }, signal)) as unknown;
  const engineLists = async (...args: string[]) =>
    (await host.docker(args, signal)).split('\n').filter((line) => line !== '');
  const networks = () =>
    engineLists('network', 'ls', '--filter', 'label=fairlead.demo', '--format', '{{.Name}}');

  test('says so, and leaves nothing of its own when it is removed', async () => {
    await host.docker(
      ['run', '-d', '--label', 'fairlead.node=other', images.base, 'sleep', '600'],
      signal,
    );
    const stranger = await engineLists('ps', '--quiet');

    const document = (await demo([...short, '--keep'])) as Document;
    expect(document.checks.filter(({ ok }) => !ok)).toEqual([]);
    expect(document.ok).toBe(true);
    expect(document.caveat).toContain('one Docker Engine plays all 5 hosts (not root');
    expect(document.checks[0]?.seen).toContain('no reboot tried');
    const { address, token, loadBalancer } = document.fleet!;
    const fairlead = async (...args: string[]) => {
      const access = { FAIRLEAD_ADDRESS: address, FAIRLEAD_TOKEN: token };
      return await host.run(process.execPath, [programs.cli, ...args], { env: access }, signal);
    };
    await fairlead('service', 'run', '--name', 'page', '--publish', '80:80', helloImage);
    const page = `fetch('${loadBalancer}').then((answer) => answer.text()).then(console.log)`;
    expect(await host.run(process.execPath, ['-e', page], {}, signal)).toContain('is page-1');

    const killed = await host.spawn('unshare', asUser(short), { name: 'killed', env });
    await eventually(
      async () => {
        expect(await networks()).toHaveLength(10);
      },
      { timeoutMs: 60_000 },
    );
    await killed.kill(signal);
    const sites = join(home, `fairlead-demos-${nobody}`);
    const records = readdirSync(sites).map((id) => join(sites, id, 'site.json'));
    await Promise.all(records.map(ownerGone));

    expect(await demo(['--json', '--down'])).toMatchObject({ running: [], failures: [] });
    expect(await networks()).toEqual([]);
    expect(await engineLists('ps', '--all', '--quiet')).toEqual(stranger);
    expect(await engineLists('image', 'ls', '--quiet', helloImage)).toEqual([]);
    expect(readdirSync(home).filter((name) => name.startsWith('fairlead'))).toEqual([]);
    expect(
      host
        .processes()
        .filter(({ pid }) => read(`/proc/${pid}/status`).includes(`\nUid:\t${nobody}`)),
    ).toEqual([]);
  }, 120_000);
});

/** Resolves when the process is gone that a record calls its owner. */
async function ownerGone(record: string): Promise<void> {
  const { owner } = JSON.parse(readFileSync(record, 'utf8')) as { owner: ProcessIdentity };
  await eventually(() => {
    expect(isRunning(owner)).toBe(false);
  });
}

/** Pastes the commands that the demo printed into a shell, and some of the command line before them. */
async function paste(words: string, fairlead: readonly string[]): Promise<string> {
  const printed = words.split('\n').filter((line) => /^ {2}\S/.test(line) && !line.includes('npm'));
  const setUp = printed.slice(0, 3);
  const script = [...setUp, ...fairlead.map((line) => `fairlead ${line}`), ...printed.slice(3)];
  return await run('sh', ['-e'], { input: script.join('\n'), cwd: '/' }, signal);
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Everything on this machine that still speaks of a lab. */
function tracesOf(id: string, labs: string): string[] {
  const processes = readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid) && pid !== String(process.pid))
    // A zombie is nothing but a number until whoever is pid 1 here takes note of it.
    .filter((pid) => !/^State:\s+Z/m.test(read(`/proc/${pid}/status`)))
    .filter((pid) =>
      ['cmdline', 'environ', 'cgroup'].some((file) => read(`/proc/${pid}/${file}`).includes(id)),
    )
    .map((pid) => `process ${pid}: ${read(`/proc/${pid}/cmdline`)}`);
  const mounts = read('/proc/self/mountinfo')
    .split('\n')
    .filter((line) => line.includes(id));
  const directories = ['/run/netns', '/sys/class/net', labs].filter((path) => existsSync(path));
  const names = directories
    .flatMap((path) => readdirSync(path))
    .filter((name) => name.includes(id));
  return [...processes, ...mounts, ...names, ...cgroupDirectories(`/fairlead-lab-${id}`)];
}
