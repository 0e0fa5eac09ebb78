import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  ApiRole,
  connect,
  ContainerPhase,
  RestartPolicy,
  type FairleadClient,
} from '../../../client/index.ts';
import { eventually } from '../../support/eventually.ts';
import { Installation } from '../../support/installation.ts';
import { assignmentIn, joinOld, type OldNode } from '../../support/old-node.ts';

let installation: Installation;
let node: OldNode;

beforeEach(async () => {
  installation = await Installation.start();
  node = await joinOld(installation);
  await node.session.first('welcome');
});

afterEach(async () => {
  node[Symbol.dispose]();
  await installation[Symbol.asyncDispose]();
});

/** A program inside of a container, which has the container's token. */
interface Program extends AsyncDisposable {
  readonly containerId: string;
  readonly client: FairleadClient;
  /** Whether a stream that it opened with the token is still there. */
  watches: boolean;
}

async function start(): Promise<Program> {
  await installation.client.control.createService({
    name: 'job',
    spec: { image: 'job:1', apiRole: ApiRole.OPERATOR, restart: RestartPolicy.NEVER },
    start: true,
  });
  const { containerId, definition } = await assignmentIn(node.session, 'WANTED_PHASE_RUNNING');
  const { FAIRLEAD_AUTH = '' } = definition?.['environment'] as Record<string, string>;
  const token = FAIRLEAD_AUTH.replace(/^Bearer /, '');
  const client = await connect({ address: installation.coordinator.address, token });
  report(containerId, 2, { phase: 'CONTAINER_PHASE_RUNNING' });
  const stop = new AbortController();
  const program: Program = {
    ...{ containerId, client, watches: false },
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await watching;
      await client[Symbol.asyncDispose]();
    },
  };
  const watching = (async () => {
    try {
      for await (const { cursor } of client.control.watchServices({}, { signal: stop.signal })) {
        program.watches = cursor !== '';
      }
    } catch {
      // Why is asked for by calls.
    } finally {
      program.watches = false;
    }
  })();
  await eventually(async () => {
    expect(program.watches).toBe(true);
    const { containers } = await client.control.listContainers({});
    expect(containers.map(({ name, phase }) => [name, phase])).toEqual([
      ['job-1', ContainerPhase.RUNNING],
    ]);
  });
  return program;
}

/** Of the one process that it had. */
const process = { engineId: 'e1', startedAt: '2026-01-01T00:00:00Z' };

function report(containerId: string, sequence: number, more: object): void {
  node.session.send({
    report: { sequence: String(sequence), containers: [{ containerId, ...process, ...more }] },
  });
}

const refusal = /the token is not valid/;

async function isRefused({ client, watches }: Program): Promise<void> {
  await expect(client.control.getService({ service: 'job' })).rejects.toThrow(refusal);
  expect(watches).toBe(false);
}

test('the token of a container is good for nothing as soon as the container has ended by itself', async () => {
  await using program = await start();
  report(program.containerId, 3, { phase: 'CONTAINER_PHASE_STOPPED', exitCode: 0 });
  await eventually(() => isRefused(program));
  // The record stays, as that of a job that was done; so does the service.
  const { container } = await installation.client.control.getContainer({ container: 'job-1' });
  expect(container?.id).toBe(program.containerId);
});

test('nor when its service is removed, before the agent has ended it', async () => {
  await using program = await start();
  await installation.client.control.removeService({ service: 'job' });
  await eventually(() => isRefused(program));
  const { container } = await installation.client.control.getContainer({ container: 'job-1' });
  expect(container?.id).toBe(program.containerId);
  const { tokens } = await installation.client.control.listTokens({});
  expect(tokens.filter(({ name }) => name.startsWith('container:'))).toEqual([]);
});

test('nor when somebody revokes it', async () => {
  await using program = await start();
  const { tokens } = await installation.client.control.listTokens({});
  const own = tokens.find(({ name }) => name.startsWith('container:job-1:'));
  expect(own).toBeDefined();
  // Its node is there: it has a whole day.
  expect(own!.expiresAt!.getTime() - Date.now()).toBeCloseTo(24 * 3_600_000, -6);
  await installation.client.control.revokeToken({ token: own!.id });
  await eventually(() => isRefused(program));
});
