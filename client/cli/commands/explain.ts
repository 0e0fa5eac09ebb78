import type { Command } from 'commander';
import { Status } from 'nice-grpc-common';
import { systemClock } from '../../../shared/clock.ts';
import type { Service } from '../../../shared/gen/fairlead/v1/service.ts';
import type { FairleadClient } from '../../fairlead-client.ts';
import { FairleadError } from '../../fairlead-error.ts';
import { explainContainer, explainService } from '../explanation.ts';
import { CommandFailure, exitStatus } from '../exit-status.ts';
import { connected, type Invocation } from '../invocation.ts';
import { actionKind, containerKind, serviceKind } from '../kinds.ts';
import { oneLine } from '../table.ts';
import { required } from '../required.ts';

/** Makes this the command that says why something is as it is. */
export function configure(explain: Command): void {
  explain.argument('<name>', 'service or container, by name or id').action(
    connected(async (run) => {
      const [name = ''] = run.args;
      const service = await unlessMissing(run.client.control.getService({ service: name }));
      if (service?.service === undefined) await explainOneContainer(run, name);
      else await explainOneService(run, service.service);
    }),
  );
}

async function explainOneService(
  { client, output, signal }: Invocation<unknown>,
  service: Service,
): Promise<void> {
  const { containers, actions } = await surroundings(client, service, signal);
  if (output.json) {
    output.document({
      service: serviceKind.toJSON(service),
      containers: containers.map(containerKind.toJSON),
      actions: actions.map(actionKind.toJSON),
    });
    return;
  }
  const lines = explainService({ service, containers, actions }, systemClock.now());
  for (const line of lines) output.line(oneLine(line));
}

async function surroundings(client: FairleadClient, { id }: Service, signal: AbortSignal) {
  const [{ containers }, { actions }] = await Promise.all([
    client.control.listContainers({ services: [id] }, { signal }),
    client.control.listActions({ target: id, inProgress: true }, { signal }),
  ]);
  return { containers, actions };
}

async function explainOneContainer(
  { client, output, signal }: Invocation<unknown>,
  name: string,
): Promise<void> {
  const answer = await unlessMissing(client.control.getContainer({ container: name }, { signal }));
  if (answer === undefined) {
    throw new CommandFailure(
      exitStatus.notFound,
      `neither a service nor a container is called "${name}"`,
    );
  }
  const container = required(answer.container);
  if (output.json) {
    output.document({ container: containerKind.toJSON(container) });
    return;
  }
  for (const line of explainContainer(container, systemClock.now())) output.line(oneLine(line));
}

async function unlessMissing<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof FairleadError && error.code === Status.NOT_FOUND) return undefined;
    throw error;
  }
}
