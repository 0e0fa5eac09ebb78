import type { Engines } from './engines.ts';

/** What runs the service: Fairlead, or Swarm mode. */
export interface Side extends AsyncDisposable {
  readonly name: 'fairlead' | 'swarm';
  /** Where the load balancer answers. */
  readonly host: string;
  readonly port: number;
  /** The engines of the hosts that the service is on. */
  readonly engines: Engines;
  /** Asks for so many containers; what begins resolves as soon as it is known that it was heard. */
  beginScale(replicas: number, signal: AbortSignal): Promise<void>;
  /** Resolves when so many containers run and take requests. */
  scaled(replicas: number, signal: AbortSignal): Promise<void>;
  /** Begins to replace all containers by fresh ones of the same definition, so many at a time. */
  beginRedeploy(parallelism: number, signal: AbortSignal): Promise<void>;
  /** The same with another definition. */
  beginUpdate(parallelism: number, signal: AbortSignal): Promise<void>;
  /** Resolves when none of those before takes requests, and as many new ones do. */
  updated(signal: AbortSignal): Promise<void>;
  /** Begins an update to an image that is nowhere. */
  beginFailingUpdate(signal: AbortSignal): Promise<void>;
  /** Resolves when that has failed and all is again as it was before. */
  rolledBack(signal: AbortSignal): Promise<void>;
  /** Begins to empty a host. */
  beginDrain(host: string, signal: AbortSignal): Promise<void>;
  /** Resolves when nothing of the service runs there. */
  drained(host: string, signal: AbortSignal): Promise<void>;
  /** Takes a host that was emptied into use again. */
  activate(host: string, signal: AbortSignal): Promise<void>;
  /** Kills what decides, by SIGKILL. */
  killManager(signal: AbortSignal): Promise<void>;
  startManager(signal: AbortSignal): Promise<void>;
  /** Resolves when the service runs as wanted, and nothing is under way. */
  settled(signal: AbortSignal): Promise<void>;
}
