import { DomainError } from '../../../shared/errors.ts';
import { plantImages, type ImageSeed } from './image-seed.ts';
import { LabHost } from './lab-host.ts';
import { LabProcess, type SpawnOptions } from './lab-process.ts';
import { createBridge } from './network.ts';
import { maxHosts, planLab, type LabPlan } from './plan.ts';
import { bootId, identify } from './proc.ts';
import {
  isOrphaned,
  listRecords,
  markKept,
  readRecord,
  type EngineOptions,
  type LabRecord,
} from './record.ts';
import { claimLab, withRegistryLock } from './registry.ts';
import { tearDown } from './teardown.ts';

export interface LabOptions {
  /** How many hosts, each with an engine of its own; at most 100. */
  readonly hosts: number;
  /** What the lab is for, as `Lab.list` shows it. */
  readonly label?: string;
  readonly engine?: EngineOptions;
  /** What `prepareImages` returned: every engine has these images when it starts. */
  readonly images?: ImageSeed;
}

/** A lab as seen from outside. */
export interface LabSummary {
  readonly id: string;
  readonly label: string;
  readonly hostCount: number;
  readonly ownerPid: number;
  /** It outlives its owner. */
  readonly kept: boolean;
  /** Its owner is dead and it was not kept: `sweep` removes it. */
  readonly orphaned: boolean;
}

const teardownDeadlineMs = 120_000;

/**
 * A fleet on one machine: hosts with real engines, a network between them, and faults at will.
 *
 * The root namespace is the gateway of the fleet: a coordinator listens there and clients come from
 * there. Everything a lab makes is on record before it exists, so that any process can remove it.
 */
export class Lab implements AsyncDisposable {
  readonly id: string;
  /** The root namespace's address: containers and hosts reach it there. */
  readonly gateway: string;
  /** The lab's own files: logs, state of whatever is started for it. Gone with the lab. */
  readonly directory: string;
  readonly hosts: readonly LabHost[];
  readonly #plan: LabPlan;
  #record: LabRecord;
  #owned: boolean;

  private constructor(record: LabRecord, owned: boolean) {
    this.#plan = planLab(record.id, record.subnet, record.hostCount);
    this.#record = record;
    this.#owned = owned;
    this.id = record.id;
    this.gateway = this.#plan.gatewayAddress;
    this.directory = this.#plan.directory;
    this.hosts = this.#plan.hosts.map((host) => new LabHost(this.#plan, host, record.engine));
  }

  /** Starts a fleet; resolves when every engine answers. Labs of dead owners are removed first. */
  static async start(options: LabOptions, signal: AbortSignal): Promise<Lab> {
    if (!Number.isInteger(options.hosts) || options.hosts < 1 || options.hosts > maxHosts) {
      throw new DomainError('invalid', `a lab has 1 to ${maxHosts} hosts, not ${options.hosts}`, {
        reason: 'LAB_HOST_COUNT',
      });
    }
    await Lab.sweep(signal);
    const lab = await withRegistryLock(() => Lab.#claim(options, signal), signal);
    try {
      const starts = lab.hosts.map((host) => Lab.#startHost(host, options, signal));
      await Promise.allSettled(starts);
      await Promise.all(starts);
      return lab;
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Opens a lab that another process started. Disposing of it leaves the lab alone. */
  static attach(id: string): Lab {
    const record = readRecord(id);
    if (record === undefined) throw noSuchLab(id);
    return new Lab(record, false);
  }

  /** Every lab of this machine. */
  static list(): LabSummary[] {
    return listRecords().map((record) => ({
      id: record.id,
      label: record.label,
      hostCount: record.hostCount,
      ownerPid: record.owner.pid,
      kept: record.kept,
      orphaned: isOrphaned(record),
    }));
  }

  /** Removes a lab, whoever started it, and whether or not it is in use. */
  static async remove(id: string, signal: AbortSignal): Promise<void> {
    const record = readRecord(id);
    if (record === undefined) throw noSuchLab(id);
    await tearDown(record, signal);
  }

  /** Removes the labs that were kept and those of dead owners; returns their ids. */
  static async removeAll(signal: AbortSignal): Promise<string[]> {
    return await removeWhere((record) => record.kept || isOrphaned(record), signal);
  }

  /** Removes the labs whose owner was killed before it could; returns their ids. */
  static async sweep(signal: AbortSignal): Promise<string[]> {
    return await removeWhere(isOrphaned, signal);
  }

  /** Starts a command in the root namespace as part of the lab: a coordinator, a relay. */
  async spawn(
    command: string,
    args: readonly string[],
    options: SpawnOptions = {},
  ): Promise<LabProcess> {
    const place = { labId: this.id, labDirectory: this.directory };
    return await LabProcess.start(place, command, args, options);
  }

  /** Leaves the fleet running when this process ends; `Lab.remove` and `Lab.removeAll` end it. */
  keep(): void {
    this.#record = markKept(this.#record);
    this.#owned = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#owned) return;
    this.#owned = false;
    await tearDown(this.#record, AbortSignal.timeout(teardownDeadlineMs));
  }

  static async #startHost(
    host: LabHost,
    { images }: LabOptions,
    signal: AbortSignal,
  ): Promise<void> {
    if (images !== undefined) await plantImages(images, host.dataRoot, signal);
    await host.startEngine(signal);
  }

  static async #claim(options: LabOptions, signal: AbortSignal): Promise<Lab> {
    const record = await claimLab(
      {
        hostCount: options.hosts,
        label: options.label ?? 'test',
        owner: identify(process.pid)!,
        bootId: bootId(),
        kept: false,
        engine: options.engine ?? {},
      },
      signal,
    );
    const lab = new Lab(record, true);
    try {
      await createBridge(lab.#plan, signal);
      return lab;
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }
}

async function removeWhere(
  doomed: (record: LabRecord) => boolean,
  signal: AbortSignal,
): Promise<string[]> {
  const records = listRecords().filter(doomed);
  await Promise.all(records.map((record) => tearDown(record, signal)));
  return records.map(({ id }) => id);
}

function noSuchLab(id: string): DomainError {
  return new DomainError('not-found', `there is no lab "${id}" on this machine`, {
    reason: 'LAB_NOT_FOUND',
  });
}
