import { expect, test } from 'vitest';
import { explainAction, explainService } from '../../../client/cli/explanation.ts';
import { Action } from '../../../shared/gen/fairlead/v1/action.ts';
import { ExplainResponse } from '../../../shared/gen/fairlead/v1/control_service.ts';
import { RolloutStepState } from '../../../shared/gen/fairlead/v1/explanation.ts';
import { RolloutState, Service, ServiceState } from '../../../shared/gen/fairlead/v1/service.ts';

const nowMs = 1_700_000_060_000;

function explained(changes: Parameters<typeof Service.fromPartial>[0]): string[] {
  const service = Service.fromPartial({
    ...{ name: 'web', state: ServiceState.RUNNING, readyContainers: 2, currentContainers: 2 },
    ...changes,
  });
  return explainService(service, ExplainResponse.create(), nowMs);
}

test('a service that is as it was asked says so', () => {
  expect(explained({})).toEqual([
    'service web is running, 2 of 2 containers ready',
    'all is as it was asked',
  ]);
});

test('a rollout that goes on says since when, and what it would go back to', () => {
  const since = new Date(nowMs - 60_000);
  const rollout = { revision: 3, baseRevision: 2, state: RolloutState.GOING, since };
  expect(explained({ state: ServiceState.REDEPLOYING, message: 'waiting', rollout })).toEqual([
    'service web is redeploying, 2 of 2 containers ready: waiting',
    '  the rollout of revision 3 is going, for 60s',
    '    rolled out to the end last: revision 2',
  ]);
});

test('a revision that is tried says by how many, and that it waits for somebody', () => {
  const rollout = { revision: 2, baseRevision: 1, state: RolloutState.CANARY, canaries: 2 };
  const message = '2 canaries of revision 2 serve: promote it, or roll it back';
  const since = new Date(nowMs - 60_000);
  expect(
    explained({ state: ServiceState.PAUSED, message, rollout: { ...rollout, since } }).slice(1),
  ).toEqual([
    '  the rollout of revision 2 is canary, for 60s',
    '    2 containers try it until it is promoted',
    '    rolled out to the end last: revision 1',
  ]);
});

test('a rollout that stands still says why, and where it failed', () => {
  const since = new Date(nowMs - 5_000);
  const rollout = {
    ...{ revision: 3, state: RolloutState.FAILED, since, failedSlots: [1, 4] },
    reason: 'web-1 failed 3 times',
  };
  expect(explained({ state: ServiceState.PAUSED, message: 'it stopped', rollout })).toEqual([
    'service web is paused, 2 of 2 containers ready: it stopped',
    '  the rollout of revision 3 is failed, for 5s: web-1 failed 3 times',
    '    given up in slot 1, 4',
  ]);
});

test('an action says how far each step is, and what happened when', () => {
  const at = (seconds: number) => new Date(nowMs - 60_000 + seconds * 1_000);
  const action = Action.fromPartial({ method: 'UpdateService', principal: 'ann', id: 'a' });
  const answer = ExplainResponse.fromPartial({
    waits: [{ message: 'web-2 to be ready', since: at(50), until: at(90) }],
    moreWaits: 3,
    steps: [
      {
        ...{ container: 'web-1', state: RolloutStepState.DONE, beganAt: at(0), endedAt: at(4.2) },
        entries: [{ time: at(0), container: 'web-1', message: 'pulling' }],
      },
      { container: 'web-2', state: RolloutStepState.GOING, beganAt: at(40) },
      { container: 'web-3', state: RolloutStepState.WAITING },
    ],
  });
  expect(explainAction({ ...action, startedAt: at(0) }, answer, 'web is …', nowMs)).toEqual([
    'UpdateService by ann has gone on for 60s (action a)',
    '  web is …',
    `  waits for web-2 to be ready, for 10s, at most until ${at(90).toISOString()}`,
    '  and for 3 more',
    '  web-1: done, in 4.2s',
    `    ${at(0).toISOString()}  pulling`,
    '  web-2: under way, for 20s',
    '  web-3: its turn has not come',
  ]);
});
