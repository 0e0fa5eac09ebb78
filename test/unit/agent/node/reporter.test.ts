import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ContainerStatus, Phase } from '../../../../agent/node/model.ts';
import { Reporter } from '../../../../agent/node/reporter.ts';
import type { ContainerId } from '../../../../shared/ids.ts';
import { aStatus, containerId } from './builders.ts';

const other = 'b'.repeat(32) as ContainerId;
const silent = () => undefined;

describe('a reporter', () => {
  test('gives the last of several changes, once', () => {
    const reporter = new Reporter(silent);
    reporter.setContainer(aStatus({ phase: 'starting' }));
    reporter.setContainer(aStatus({ phase: 'running' }));
    expect(reporter.takeReport()).toEqual({
      sequence: 1,
      engine: undefined,
      containers: [aStatus({ phase: 'running' })],
    });
    expect(reporter.takeReport()).toBeUndefined();
  });

  test('calls only for what is new', () => {
    let calls = 0;
    const reporter = new Reporter(() => calls++);
    reporter.setContainer(aStatus());
    reporter.setContainer(aStatus());
    reporter.setEngine({ reachable: true, message: '' });
    reporter.setEngine({ reachable: true, message: '' });
    expect(calls).toBe(2);
  });

  test('gives the whole picture to a new session, and goes on counting', () => {
    const reporter = new Reporter(silent);
    reporter.setContainer(aStatus());
    expect(reporter.takeReport()?.sequence).toBe(1);
    reporter.setContainer(aStatus({ containerId: other }));
    reporter.setEngine({ reachable: true, message: '' });
    expect(reporter.takePicture()).toEqual({
      sequence: 2,
      engine: { reachable: true, message: '' },
      containers: [aStatus(), aStatus({ containerId: other })],
    });
    expect(reporter.takeReport()).toBeUndefined();
    reporter.setEngine({ reachable: false, message: 'away' });
    expect(reporter.takeReport()).toEqual({
      sequence: 3,
      engine: { reachable: false, message: 'away' },
      containers: [],
    });
  });

  test('says nothing more of what is forgotten', () => {
    const reporter = new Reporter(silent);
    reporter.setContainer(aStatus());
    reporter.forget(containerId);
    expect(reporter.takeReport()).toBeUndefined();
    expect(reporter.takePicture().containers).toEqual([]);
  });

  test('tells a listener that misses nothing exactly what is, over any number of sessions', () => {
    const ids = fc.constantFrom(containerId, other);
    const phases = fc.constantFrom<Phase>('starting', 'running', 'stopped');
    const moves = fc.oneof(fc.tuple(ids, phases), fc.constantFrom('report', 'picture'));
    fc.assert(
      fc.property(fc.array(moves), (story) => {
        const reporter = new Reporter(silent);
        const truth = new Map<string, ContainerStatus>();
        let heard = new Map<string, ContainerStatus>();
        let sequence = 0;
        for (const move of [...story, 'report']) {
          if (typeof move !== 'string') {
            const status = aStatus({ containerId: move[0], phase: move[1] });
            truth.set(status.containerId, status);
            reporter.setContainer(status);
            continue;
          }
          const taken = move === 'report' ? reporter.takeReport() : reporter.takePicture();
          if (taken === undefined) continue;
          expect(taken.sequence).toBe(++sequence);
          if (move === 'picture') heard = new Map();
          for (const status of taken.containers) heard.set(status.containerId, status);
          expect(heard).toEqual(truth);
        }
      }),
    );
  });
});
