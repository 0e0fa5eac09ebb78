import type { ProxyAgentConfig } from '../../agent/proxy/config.ts';
import type { BackendSnapshot } from '../../shared/gen/fairlead/v1/proxy_service.ts';
import { FakeProxyCoordinator } from './fake-proxy-coordinator.ts';
import { HaproxyDirectory, proxyConfig, RunningProxyAgent } from './haproxy.ts';

/** A HAProxy with an agent of its own, under a coordinator that says what a test tells it to. */
export class DrivenProxy implements AsyncDisposable {
  readonly directory = new HaproxyDirectory();
  readonly coordinator: FakeProxyCoordinator;
  readonly agent: RunningProxyAgent;

  private constructor(coordinator: FakeProxyCoordinator, options: Partial<ProxyAgentConfig>) {
    this.coordinator = coordinator;
    const own = { coordinator: coordinator.address, stateDir: this.directory.path };
    this.agent = new RunningProxyAgent(proxyConfig({ ...own, ...options }));
  }

  /** One that has this list in effect. */
  static async start(
    list: BackendSnapshot,
    options: Partial<ProxyAgentConfig> = {},
  ): Promise<DrivenProxy> {
    const driven = new DrivenProxy(await FakeProxyCoordinator.start(list), options);
    try {
      await driven.coordinator.untilApplied(list.version);
      return driven;
    } catch (error) {
      await driven[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
    await this.coordinator[Symbol.asyncDispose]();
    await this.directory[Symbol.asyncDispose]();
  }
}
