import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Docker from 'dockerode';
import type { Target } from '../../../agent/proxy/backend-list.ts';
import { renderConfig } from '../../../agent/proxy/config-file.ts';
import { filesOf } from '../../../agent/proxy/map-files.ts';
import type { KnownServer } from '../../../agent/proxy/server-state.ts';
import { systemClock } from '../../../shared/clock.ts';
import { eventually } from '../../support/eventually.ts';
import type { LabProcess } from '../../support/lab/lab-process.ts';
import { testAuthority } from '../../support/test-authority.ts';
import { ServerNotices } from '../support/server-notices.ts';
import type { FineWallClock } from '../support/wall-clock.ts';
import { floorTlsOf } from './floor-tls.ts';
import {
  command,
  containerPort,
  readServers,
  simulatedAddress,
  simulatedPort,
  untilReady,
  type Place,
} from './place.ts';
import type { Side, Subject } from './side.ts';

const relayPort = 7_700;
const label = 'fairlead.bench=floor';
const stopGraceMs = 1_000;

interface FloorSubject extends Subject {
  readonly name: string;
}

/**
 * What the same takes without Fairlead: three processes that pass every event on as it comes, over
 * bare gRPC connections with TLS, to an HAProxy with the same configuration. It decides nothing, checks
 * nothing, and could not recover from anything.
 */
export class Floor implements Side, AsyncDisposable {
  readonly name = 'floor';
  readonly #place: Place;
  readonly #clock: FineWallClock;
  readonly #directory: string;
  readonly #subjects: FloorSubject[] = [];
  #haproxy: LabProcess | undefined;
  #notices: ServerNotices | undefined;

  private constructor(place: Place, clock: FineWallClock) {
    this.#place = place;
    this.#clock = clock;
    this.#directory = join(place.lab.directory, 'floor');
    mkdirSync(this.#directory);
  }

  static async start(
    place: Place,
    subjects: number,
    clock: FineWallClock,
    signal: AbortSignal,
  ): Promise<Floor> {
    const floor = new Floor(place, clock);
    await floor.#startProcesses(signal);
    for (let index = 1; index <= subjects; index++) {
      floor.#subjects.push(await floor.#run(`floor-${index}`));
    }
    await floor.resize(subjects, signal);
    return floor;
  }

  get subjects(): readonly Subject[] {
    return this.#subjects;
  }

  get notices(): ServerNotices {
    if (this.#notices === undefined) throw new Error('the HAProxy of the floor does not run');
    return this.#notices;
  }

  async resize(backends: number, signal: AbortSignal): Promise<void> {
    await this.#stopHaproxy(signal);
    const { host } = this.#place;
    const config = join(this.#directory, 'haproxy.cfg');
    const serverStatePath = join(this.#directory, 'server.state');
    writeFileSync(serverStatePath, '1\n');
    const frontend = {
      name: 'http_81',
      port: 81,
      protocol: 'http',
      defaultBackend: 'default',
      routes: [],
    } as const;
    const input = {
      description: 'floor',
      frontends: [frontend],
      backends: [{ name: 'default', protocol: 'http' } as const],
      targets: await this.#targets(backends),
    };
    const settings = {
      maxConnections: 4_096,
      adminSocketPath: this.#adminSocket,
      serverStatePath,
      handoffSocketPath: (port: number) => join(this.#directory, `h${port}.sock`),
      mapPath: (name: string) => join(this.#directory, name),
      statsPort: 0,
      statsAuth: undefined,
      ...{ metricsPort: 0, metricsAddress: '127.0.0.1', accessLog: false, pausePort: 1_053 },
      tls: { certificateList: '', clientCa: () => '' },
    };
    for (const [name, text] of filesOf(input, [])) writeFileSync(settings.mapPath(name), text);
    writeFileSync(config, [...renderConfig(input, settings)].join(''));
    const haproxy = await host.spawn('haproxy', ['-W', '-f', config], { name: 'floor-haproxy' });
    this.#haproxy = haproxy;
    await untilReady(backends, () => this.servers(), signal);
    this.#notices = new ServerNotices(haproxy.logPath, this.#clock);
  }

  async servers(): Promise<KnownServer[]> {
    return await readServers(this.#adminSocket);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stopHaproxy(AbortSignal.timeout(2 * stopGraceMs));
  }

  async #startProcesses(signal: AbortSignal): Promise<void> {
    const { lab, host } = this.#place;
    const address = `${lab.gateway}:${relayPort}`;
    const tls = join(this.#directory, 'tls.json');
    writeFileSync(tls, floorTlsOf(testAuthority), { mode: 0o600 });
    const relay = await lab.spawn(process.execPath, script('floor-relay.ts', address, tls), {
      name: 'floor-relay',
    });
    await untilLogged(relay, ['listening'], signal);
    const agentArgs = script(
      'floor-agent.ts',
      address,
      tls,
      host.dockerSocket,
      label,
      host.containerdSocket,
    );
    const agent = await host.spawn(process.execPath, agentArgs, { name: 'floor-agent' });
    const proxyArgs = script('floor-proxy.ts', address, tls, this.#adminSocket);
    await host.spawn(process.execPath, proxyArgs, { name: 'floor-proxy' });
    await untilLogged(agent, ['following the engine'], signal);
    await untilLogged(relay, ['agent connected', 'proxy connected'], signal);
  }

  get #adminSocket(): string {
    return join(this.#directory, 'admin.sock');
  }

  async #stopHaproxy(signal: AbortSignal): Promise<void> {
    this.#notices?.[Symbol.dispose]();
    this.#notices = undefined;
    await this.#haproxy?.stop(stopGraceMs, signal);
    this.#haproxy = undefined;
  }

  async #run(name: string): Promise<FloorSubject> {
    const { host, image } = this.#place;
    const [key = '', value = ''] = label.split('=');
    const port = `${containerPort}/tcp`;
    const container = await this.#docker().createContainer({
      name,
      Image: image,
      Cmd: command,
      Labels: { [key]: value },
      ExposedPorts: { [port]: {} },
      HostConfig: {
        PortBindings: { [port]: [{ HostIp: host.address, HostPort: '' }] },
        RestartPolicy: { Name: 'unless-stopped' },
      },
    });
    await container.start();
    const serverName = new RegExp(`^${name}$`);
    return { name, engineId: container.id, serverName, startedAtMs: systemClock.monotonic() };
  }

  async #targets(backends: number): Promise<Target[]> {
    const docker = this.#docker();
    const real = await Promise.all(
      this.#subjects.map(async ({ engineId, name }) => {
        const { NetworkSettings: network } = await docker.getContainer(engineId).inspect();
        const [binding] = network.Ports[`${containerPort}/tcp`] ?? [];
        if (binding === undefined) throw new Error(`${name} has no port`);
        return targetOf(name, binding.HostIp, Number(binding.HostPort));
      }),
    );
    const simulated = Array.from({ length: backends - real.length }, (_, index) =>
      targetOf(`simulated-${index}`, simulatedAddress(index % 10), simulatedPort),
    );
    return [...real, ...simulated];
  }

  #docker(): Docker {
    return new Docker({ socketPath: this.#place.host.dockerSocket });
  }
}

async function untilLogged(
  process: LabProcess,
  words: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  await eventually(
    () => {
      const log = process.log();
      const missing = words.filter((each) => !log.includes(each));
      if (missing.length === 0) return;
      throw new Error(`${process.name} has not said "${missing.join('", "')}" yet:\n${log}`);
    },
    { timeoutMs: 30_000 },
    signal,
  );
}

function targetOf(id: string, address: string, port: number): Target {
  const mode = 'ready' as const;
  const container = { container: id, containerId: '' };
  return { id, backend: 'default', address, port, mode, drainTimeoutMs: 0, ...container };
}

function script(name: string, ...args: readonly string[]): string[] {
  const path = fileURLToPath(new URL(name, import.meta.url));
  return ['--import', import.meta.resolve('tsx'), path, ...args];
}
