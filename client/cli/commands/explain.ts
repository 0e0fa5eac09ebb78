import type { Command } from 'commander';
import { Status } from 'nice-grpc-common';
import { ExplainResponse } from '../../../shared/gen/fairlead/v1/control_service.ts';
import { FairleadError } from '../../fairlead-error.ts';
import { explainAction, explainOne, explainService } from '../explanation.ts';
import { CommandFailure, exitStatus } from '../exit-status.ts';
import { connected, type Invocation } from '../invocation.ts';
import { oneLine } from '../table.ts';
import { required } from '../required.ts';

type Subject = 'service' | 'container' | 'action';

/** Makes this the command that says why something is as it is. */
export function configure(explain: Command): void {
  explain
    .argument('<name>', 'service or container, by name or id, or action, by id')
    .action(connected(run));
}

async function run(invocation: Invocation<unknown>): Promise<void> {
  const { output, args } = invocation;
  const [name = ''] = args;
  const { subject, answer } = await find(invocation, name);
  if (output.json) output.document(ExplainResponse.toJSON(answer));
  else for (const line of linesOf(subject, answer)) output.line(oneLine(line));
}

/** All times are compared with the coordinator's clock, which they are of. */
function linesOf(subject: Subject, answer: ExplainResponse): string[] {
  const { time, service, containers, actions, summary } = answer;
  const nowMs = required(time).getTime();
  switch (subject) {
    case 'service':
      return explainService(required(service), answer, nowMs);
    case 'container':
      return explainOne(required(containers[0]), answer, nowMs);
    case 'action':
      return explainAction(required(actions[0]), answer, summary, nowMs);
  }
}

/** The service of that name, else the container, else the action. */
async function find({ client, signal }: Invocation<unknown>, name: string) {
  for (const subject of ['service', 'container', 'action'] as const) {
    try {
      const request = { subject: { $case: subject, value: name } };
      return { subject, answer: await client.control.explain(request, { signal }) };
    } catch (error) {
      if (!(error instanceof FairleadError && error.code === Status.NOT_FOUND)) throw error;
    }
  }
  throw new CommandFailure(
    exitStatus.notFound,
    `neither a service nor a container nor an action is called "${name}"`,
  );
}
