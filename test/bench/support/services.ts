import {
  ServiceState,
  type DeepPartial,
  type FairleadClient,
  type ServiceSpec,
} from '../../../client/index.ts';
import { eventually } from '../../support/eventually.ts';

const timeoutMs = 60_000;

/** Creates and starts a service; resolves when it runs as asked. */
export async function runService(
  client: FairleadClient,
  name: string,
  spec: DeepPartial<ServiceSpec>,
  signal: AbortSignal,
): Promise<void> {
  await client.control.createService({ name, spec, start: true }, { signal });
  await eventually(
    async () => {
      const { service } = await client.control.getService({ service: name }, { signal });
      if (
        service?.state !== ServiceState.RUNNING ||
        service.readyContainers < (spec.replicas ?? 1)
      ) {
        throw new Error(`service ${name} does not run yet: ${service?.message}`);
      }
    },
    { timeoutMs },
    signal,
  );
}

/** Changes the number of containers; resolves when that is done. */
export async function scaleService(
  client: FairleadClient,
  service: string,
  replicas: number,
  signal: AbortSignal,
): Promise<void> {
  const { action } = await client.control.scaleService({ service, replicas }, { signal });
  if (action !== undefined) await client.waitForAction(action.id, { timeoutMs }, signal);
}
