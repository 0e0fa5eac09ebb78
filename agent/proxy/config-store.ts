import { createHash } from 'node:crypto';
import { type Structure, type Target } from './backend-list.ts';
import { renderConfig } from './config-file.ts';
import { certificateListIn } from './certificates/certificate-files.ts';
import { ClientCaFiles } from './certificates/client-ca-files.ts';
import type { ConfigSettings } from './config-settings.ts';
import type { HaproxyProcess } from './haproxy-process.ts';
import { allMapsOf, filesOf, MapFiles } from './map-files.ts';
import { usablePorts, type Pages } from './ports.ts';
import { pausesMap } from './pause-rules.ts';
import { ofEra } from './pauses.ts';
import type { MapEntries } from './route-maps.ts';
import { holds, readIfThere, saveAtomically, type StatePaths } from './state-directory.ts';

/** All of a configuration but the targets. */
export interface Configuration extends Structure {
  readonly pages: Pages;
  /** Names it: a running HAProxy with the same one need not reload. */
  readonly revision: string;
  /** Ports that cannot be had, in words. */
  readonly problem: string | undefined;
}

/** What a running HAProxy says of its configuration. */
export interface RunningConfiguration {
  readonly revision: string;
  readonly ports: ReadonlySet<number>;
}

/** What a file is made from. */
export interface ConfigContent {
  readonly configuration: Configuration;
  readonly targets: Iterable<Target>;
}

/** Settings of the agent that are part of every configuration. */
export type FixedSettings = Pick<
  ConfigSettings,
  | 'maxConnections'
  | 'statsPort'
  | 'statsAuth'
  | 'metricsPort'
  | 'metricsAddress'
  | 'accessLog'
  | 'ipv6'
  | 'pausePort'
  | 'clientTimeouts'
  | 'goneScript'
  | 'routesScript'
  | 'successorScript'
  | 'stickyScript'
>;

/** Makes configurations, has HAProxy check them, and keeps the one on disk current. */
export class ConfigStore {
  readonly #paths: StatePaths;
  readonly #settings: FixedSettings;
  readonly #haproxy: HaproxyProcess;
  readonly #maps: MapFiles;
  readonly #candidateMaps: MapFiles;
  readonly #clientCas: ClientCaFiles;
  #pauseEra = 0;
  #writing: Promise<unknown> = Promise.resolve();

  constructor(paths: StatePaths, settings: FixedSettings, haproxy: HaproxyProcess) {
    this.#paths = paths;
    this.#settings = settings;
    this.#haproxy = haproxy;
    this.#maps = new MapFiles(paths.maps);
    this.#candidateMaps = new MapFiles(paths.candidateMaps);
    this.#clientCas = new ClientCaFiles(paths.certificates);
  }

  /** The maps of a configuration by the paths at which HAProxy has them. */
  mapsOf(configuration: Configuration): Map<string, MapEntries> {
    const maps = [...allMapsOf(configuration)].map(
      ([name, map]) => [name, name === pausesMap ? ofEra(map, this.#pauseEra) : map] as const,
    );
    return new Map(maps.map(([name, map]) => [this.#maps.pathOf(name), map]));
  }

  /** Pauses go by other names from now on. */
  renamePauses(): void {
    this.#pauseEra++;
  }

  /** The configuration that serves a structure with the ports that can be had now. */
  async configure(structure: Structure, ownPorts: ReadonlySet<number>): Promise<Configuration> {
    const { frontends, pages, problem } = await usablePorts(structure, this.#settings, ownPorts);
    const usable = { frontends, backends: structure.backends, pages };
    const hash = createHash('sha256');
    for (const part of this.#render({ ...usable, revision: '', problem }, [], this.#maps)) {
      hash.update(part);
    }
    return { ...usable, revision: hash.digest('hex').slice(0, 12), problem };
  }

  /** Why HAProxy would refuse it; undefined if it takes it. */
  async check(
    { configuration, targets: all }: ConfigContent,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const targets = [...all];
    const text = this.#render(configuration, targets, this.#candidateMaps);
    await this.#clientCas.write(configuration.frontends);
    await this.#candidateMaps.write(filesOf(configuration, targets));
    await saveAtomically(this.#paths.candidate, text);
    return await this.#haproxy.check(this.#paths.candidate, signal);
  }

  /** Names the configuration in the file that HAProxy can start by; undefined: there is none. */
  async revisionOnDisk(): Promise<string | undefined> {
    const text = await readIfThere(this.#paths.config);
    const description = /^ *description (fairlead .*)$/m.exec(text ?? '')?.[1] ?? '';
    return text === undefined ? undefined : (readDescription(description)?.revision ?? '');
  }

  /**
   * Replaces the file that HAProxy loads when it starts or reloads. What goes into it is asked for when
   * it is this writer's turn; undefined: nothing.
   */
  async write(content: () => ConfigContent | undefined): Promise<void> {
    await this.exclusively(async (write) => {
      const current = content();
      if (current !== undefined) await write(current);
    });
  }

  /** Runs `action` while nobody else writes the file; it gets the only pen. */
  async exclusively<T>(
    action: (write: (content: ConfigContent) => Promise<void>) => Promise<T>,
  ): Promise<T> {
    const result = this.#writing.then(() =>
      action(async ({ configuration, targets: all }) => {
        const targets = [...all];
        const text = this.#render(configuration, targets, this.#maps);
        await this.#clientCas.write(configuration.frontends);
        await this.#maps.write(filesOf(configuration, targets));
        // A HAProxy that died is not to wait until its file is written as it is.
        if (!(await holds(this.#paths.config, text)))
          await saveAtomically(this.#paths.config, text);
      }),
    );
    this.#writing = result.catch(() => undefined);
    return await result;
  }

  #render(
    configuration: Configuration,
    targets: Iterable<Target>,
    maps: MapFiles,
  ): Iterable<string> {
    const { frontends, backends, pages, revision } = configuration;
    const ports = portsOf(configuration);
    return renderConfig(
      {
        frontends,
        backends,
        targets,
        description: `fairlead rev=${revision} ports=${ports.join(',')}`,
      },
      {
        ...this.#settings,
        ...pages,
        adminSocketPath: this.#paths.adminSocket,
        serverStatePath: this.#paths.serverState,
        handoffSocketPath: this.#paths.handoffSocket,
        successorSocketPath: this.#paths.successorSocket,
        mapPath: (name) => maps.pathOf(name),
        tls: {
          certificateList: certificateListIn(this.#paths.certificates),
          clientCa: (pem) => this.#clientCas.pathOf(pem),
        },
      },
    );
  }
}

/** The ports that it binds. */
export function portsOf({
  frontends,
  pages,
}: Pick<Configuration, 'frontends' | 'pages'>): number[] {
  const { statsPort, metricsPort } = pages;
  const ports = [...frontends.map(({ port }) => port), statsPort, metricsPort];
  return ports.filter((port) => port !== 0);
}

/** Reads the description that `ConfigStore` gave a HAProxy; undefined if it is not one of ours. */
export function readDescription(description: string): RunningConfiguration | undefined {
  const found = /^fairlead rev=([0-9a-f]*) ports=([0-9,]*)$/.exec(description);
  if (found === null) return undefined;
  const [, revision = '', ports = ''] = found;
  return { revision, ports: new Set(ports.split(',').filter(Boolean).map(Number)) };
}
