import { expect, test } from 'vitest';
import { failureFromProto, statusFromProto } from '../../../../coordinator/api/convert-agent.ts';
import { ContainerStatus } from '../../../../shared/gen/fairlead/v1/agent_service.ts';
import { ContainerPhase } from '../../../../shared/gen/fairlead/v1/container.ts';

test('a moment that no calendar has is none', () => {
  // Field 9, started_at, of 2^52 seconds.
  const startedAt = Buffer.from('4a09088080808080808008', 'hex');
  const phase = ContainerStatus.encode(
    ContainerStatus.fromPartial({ containerId: 'web-1', phase: ContainerPhase.RUNNING }),
  ).finish();
  const status = ContainerStatus.decode(Buffer.concat([phase, startedAt]));
  expect(status.startedAt?.getTime()).toBeNaN();
  expect(statusFromProto(status)).toMatchObject([{ reported: { startedAtMs: null } }]);
  expect(failureFromProto({ endedAt: new Date(NaN), lines: [] })).toMatchObject({
    endedAtMs: null,
  });
});
