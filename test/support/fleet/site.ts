import type { LabProcess, SpawnOptions } from '../lab/lab-process.ts';

/** A host that agents and containers of a fleet run on. */
export interface SiteHost {
  readonly name: string;
  /** Where clients and proxies reach its containers. */
  readonly address: string;
  readonly dockerSocket: string;
  /** Where published ports are bound; undefined: on all addresses. */
  readonly publishAddress: string | undefined;
  /** The agent's files; survive a reboot. */
  readonly directory: string;
  /** Starts a process there. */
  spawn(command: string, args: readonly string[], options?: SpawnOptions): Promise<LabProcess>;
  /** Runs the docker command against its engine and returns what it wrote. */
  docker(args: readonly string[], signal: AbortSignal): Promise<string>;
}

/** Where a fleet runs: real hosts of a lab, or one engine that several agents share. */
export interface Site extends AsyncDisposable {
  readonly id: string;
  /** What is different from five real hosts; empty if nothing is. */
  readonly caveat: string;
  /** Where the coordinator listens; hosts and containers reach it there. */
  readonly gateway: string;
  readonly directory: string;
  readonly hosts: readonly SiteHost[];
  /** Ends every process of a host at once and starts its engine again; null where that is not possible. */
  readonly reboot: ((host: SiteHost, signal: AbortSignal) => Promise<void>) | null;
  spawn(command: string, args: readonly string[], options?: SpawnOptions): Promise<LabProcess>;
  /** Leaves everything running when this process ends. */
  keep(): void;
}
