import { expect, test } from 'vitest';
import { ReadinessState, WantedPhase } from '../../../../shared/gen/fairlead/v1/agent_service.ts';
import { ContainerPhase } from '../../../../shared/gen/fairlead/v1/container.ts';
import { eventually } from '../../../support/eventually.ts';
import { FakeCoordinator } from '../../../support/fake-coordinator.ts';
import { prepareImages } from '../../../support/lab/images.ts';
import { Lab } from '../../../support/lab/lab.ts';
import { describeWithLab } from '../../../support/needs.ts';
import { bundleAgent, startAgent } from './agent-process.ts';
import { aDefinition, idOf, published } from './definitions.ts';

const { signal } = new AbortController();
const hello = 'fairlead-lab/hello:1';

describeWithLab('a node agent whose engine may be killed without its containers', () => {
  test('goes on to check them meanwhile, and finds them as they were', async () => {
    const images = await prepareImages({ hello }, signal);
    const engine = { liveRestore: true };
    await using lab = await Lab.start({ hosts: 1, images, engine, label: 'live restore' }, signal);
    const host = lab.hosts[0]!;
    await using coordinator = await FakeCoordinator.start({ host: lab.gateway });
    await startAgent(await bundleAgent(lab.directory), host, coordinator);
    const [first, second] = [idOf(1), idOf(2)];
    await eventually(() => {
      expect(coordinator.engine?.reachable).toBe(true);
    });
    const ports = [published(80)];
    coordinator.assign(first, WantedPhase.RUNNING, aDefinition({ image: hello, ports }));
    await eventually(() => {
      expect(coordinator.status(first)?.readiness).toBe(ReadinessState.READY);
    });

    const before = coordinator.status(first)!;
    const statuses = coordinator.history.get(first)!.length;
    await host.killEngine(signal);
    await eventually(() => {
      expect(coordinator.engine?.reachable).toBe(false);
    });
    const later = aDefinition({ image: hello, name: 'web-2', ports });
    coordinator.assign(second, WantedPhase.RUNNING, later);
    await host.startEngine(signal);
    await eventually(() => {
      expect(coordinator.engine?.reachable).toBe(true);
      expect(coordinator.status(second)?.readiness).toBe(ReadinessState.READY);
    });
    expect(coordinator.status(first)).toEqual(before);
    // It may miss a check on a busy machine; it is never said to be gone, or started anew.
    const since = coordinator.history.get(first)!.slice(statuses);
    expect(since.filter(({ phase }) => phase !== ContainerPhase.RUNNING)).toEqual([]);
    expect(before).toMatchObject({ phase: ContainerPhase.RUNNING, restarts: 0 });
  });
});
