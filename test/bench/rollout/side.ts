import type { Engines } from './engines.ts';

/** What runs the service: Fairlead, or Swarm mode. */
export interface Side extends AsyncDisposable {
  readonly name: 'fairlead' | 'swarm';
  /** Where the load balancer answers. */
  readonly host: string;
  readonly port: number;
  /** The engines of the hosts that the service is on. */
  readonly engines: Engines;
  /** Resolves when so many containers run and take requests. */
  scale(replicas: number, signal: AbortSignal): Promise<void>;
  /** Replaces all containers by fresh ones of the same definition; resolves when none of before takes requests. */
  redeploy(signal: AbortSignal): Promise<void>;
  /** The same with another definition, so many at a time. */
  update(parallelism: number, signal: AbortSignal): Promise<void>;
  /** Begins the same, and resolves when that is known. */
  beginUpdate(parallelism: number, signal: AbortSignal): Promise<void>;
  /** Resolves when what was begun has come to its end. */
  updated(signal: AbortSignal): Promise<void>;
  /** Updates to an image that is nowhere; resolves when all is again as it was before. */
  failUpdate(signal: AbortSignal): Promise<void>;
  /** Empties a host; resolves when nothing of the service runs there. */
  drain(host: string, signal: AbortSignal): Promise<void>;
  /** Undoes `drain`. */
  activate(host: string, signal: AbortSignal): Promise<void>;
  /** Kills what decides, by SIGKILL. */
  killManager(signal: AbortSignal): Promise<void>;
  startManager(signal: AbortSignal): Promise<void>;
  /** Resolves when the service runs as wanted, and nothing is under way. */
  settled(signal: AbortSignal): Promise<void>;
}
