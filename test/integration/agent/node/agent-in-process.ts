import { runNodeAgent } from '../../../../agent/node/agent.ts';
import { readNodeAgentConfig } from '../../../../agent/node/config.ts';
import { systemClock } from '../../../../shared/clock.ts';
import { createLogger } from '../../../../shared/logger.ts';
import { systemRandom, type Random } from '../../../../shared/random.ts';
import { joinToken, type FakeCoordinator } from '../../../support/fake-coordinator.ts';

export interface AgentFlags {
  readonly coordinator: string;
  readonly stateDir: string;
  readonly [flag: string]: unknown;
}

/** A node agent within the process of the test; disposing of it stops it as SIGTERM does. */
export class AgentInProcess implements AsyncDisposable {
  /** Settles when the agent ends, with its failure if it failed. */
  readonly ended: Promise<void>;
  readonly #stop = new AbortController();
  readonly #lines: string[] = [];

  /** `clock`: what the host takes the time to be; `random`: what it takes for chance. */
  constructor(flags: AgentFlags, clock = systemClock, random: Random = systemRandom) {
    const write = (line: string) => this.#lines.push(line);
    const log = createLogger({ level: 'debug', process: 'node-agent' }, { write });
    const deps = { clock, random, log };
    this.ended = runNodeAgent(readNodeAgentConfig(flags, {}), deps, this.#stop.signal);
  }

  /** What it logged with this message, oldest first. */
  logged(message: string): Record<string, unknown>[] {
    return this.#lines
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ msg }) => msg === message);
  }

  /** All it logged, as text. */
  log(): string {
    return this.#lines.join('');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.ended;
  }
}

/** Flags of an agent that joins this coordinator and has no engine. */
export function flagsFor(coordinator: FakeCoordinator, directory: string): AgentFlags {
  return {
    coordinator: coordinator.address,
    token: joinToken,
    name: 'host-1',
    stateDir: `${directory}/state`,
    dockerSocket: `${directory}/no-engine.sock`,
  };
}
