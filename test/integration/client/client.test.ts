import { createServer as createTcpServer } from 'node:net';
import { once } from 'node:events';
import * as esbuild from 'esbuild';
import { describe, expect, test } from 'vitest';
import { ActionError, ActionState, connect, FairleadError, Status } from '../../../client/index.ts';
import { eventually } from '../../support/eventually.ts';
import { adminToken, startFakeControl, viewerToken } from '../../support/fake-control.ts';
import { testAuthority } from '../../support/test-authority.ts';

async function connectTo(fake: { readonly address: string }, token = adminToken) {
  return await connect({ address: fake.address, token }, { random: () => 0 });
}

async function failureOf(work: Promise<unknown>): Promise<FairleadError> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(FairleadError);
  return error as FairleadError;
}

test('the published client needs gRPC and protobuf, and nothing else', async () => {
  const { metafile } = await esbuild.build({
    entryPoints: ['client/index.ts'],
    bundle: true,
    write: false,
    metafile: true,
    format: 'esm',
    platform: 'node',
    packages: 'external',
  });
  const imports = Object.values(metafile.outputs).flatMap((output) => output.imports);
  const packages = imports.map(({ path }) => path).filter((path) => !path.startsWith('node:'));
  expect([...new Set(packages)].sort()).toEqual([
    '@bufbuild/protobuf/wire',
    '@grpc/grpc-js',
    'nice-grpc',
    'nice-grpc-common',
  ]);
});

describe('calls', () => {
  test('carry the token and answer with typed messages', async () => {
    await using fake = await startFakeControl();
    fake.addService('web', { replicas: 2 });
    await using client = await connectTo(fake);
    const { service } = await client.control.getService({ service: 'web' });
    expect(service?.spec?.replicas).toBe(2);
  });

  test('fail with code, words, reason and the fields at fault', async () => {
    await using fake = await startFakeControl();
    await using client = await connectTo(fake);
    const violations = [{ field: 'spec.image', rule: 'is required' }];
    fake.refuse('CreateService', {
      status: Status.INVALID_ARGUMENT,
      message: 'spec.image is required',
      reason: 'INVALID_REQUEST',
      violations,
    });
    const error = await failureOf(client.control.createService({ name: 'web' }));
    expect(error).toMatchObject({
      code: Status.INVALID_ARGUMENT,
      message: 'spec.image is required',
      reason: 'INVALID_REQUEST',
      violations,
    });
  });

  test('say what the token is not enough for', async () => {
    await using fake = await startFakeControl();
    await using viewer = await connectTo(fake, viewerToken);
    fake.addService('web');
    const error = await failureOf(viewer.control.stopService({ service: 'web' }));
    expect(error).toMatchObject({ code: Status.PERMISSION_DENIED, reason: 'ROLE_TOO_SMALL' });
    await using stranger = await connectTo(fake, testAuthority.token('nonsense'));
    expect((await failureOf(stranger.control.getInfo({}))).code).toBe(Status.UNAUTHENTICATED);
  });

  test('end at their deadline', async () => {
    await using fake = await startFakeControl();
    fake.holdAnswers = true;
    await using client = await connectTo(fake);
    const error = await failureOf(client.control.getInfo({}, { deadlineMs: 50 }));
    expect(error).toMatchObject({ code: Status.DEADLINE_EXCEEDED, reason: 'DEADLINE_EXCEEDED' });
  });

  test('work again after the coordinator was away, on the same client', async () => {
    await using fake = await startFakeControl();
    await using client = await connect(
      { address: fake.address, token: adminToken },
      { connectTimeoutMs: 300 },
    );
    fake.stop();
    expect((await failureOf(client.control.getInfo({}))).code).toBe(Status.UNAVAILABLE);
    await fake.start();
    await eventually(async () => {
      expect((await client.control.getInfo({})).version).toBe('0.1.0');
    });
  });
});

describe('connecting', () => {
  test('says that a port is closed', async () => {
    await using fake = await startFakeControl();
    const { address } = fake;
    fake.stop();
    const error = await failureOf(
      connect({ address, token: adminToken }, { connectTimeoutMs: 200 }),
    );
    expect(error).toMatchObject({ code: Status.UNAVAILABLE, reason: 'COORDINATOR_UNREACHABLE' });
    expect(error.message).toContain('refused');
  });

  test('gives up on a peer that accepts and says nothing, and says so', async () => {
    const mute = createTcpServer();
    mute.listen(0, '127.0.0.1');
    await once(mute, 'listening');
    const { port } = mute.address() as { port: number };
    try {
      const error = await failureOf(
        connect({ address: `127.0.0.1:${port}`, token: adminToken }, { connectTimeoutMs: 200 }),
      );
      expect(error.message).toContain(
        `no coordinator answers at 127.0.0.1:${port}: no answer within`,
      );
    } finally {
      mute.close();
    }
  });

  test('refuses what is no address', async () => {
    const error = await failureOf(
      connect({ address: 'coordinator', token: adminToken }, { connectTimeoutMs: 100 }),
    );
    expect(error.message).toContain('HOST:PORT');
  });
});

describe('watching', () => {
  test('keeps a view over restarts of the coordinator and lost history', async () => {
    await using fake = await startFakeControl();
    fake.services.snapshotParts = 3;
    for (const name of ['api', 'web', 'zoo']) fake.addService(name);
    const lostStreams: unknown[] = [];
    await using client = await connect(
      { address: fake.address, token: adminToken },
      { random: () => 0, onWatchLost: (error) => lostStreams.push(error) },
    );
    const stop = new AbortController();
    let names: string[] = [];
    const watching = (async () => {
      for await (const { items } of client.watchServices({}, stop.signal)) {
        names = [...items.values()].map(({ name }) => name).sort();
      }
    })();
    await eventually(() => {
      expect(names).toEqual(['api', 'web', 'zoo']);
    });

    fake.services.remove(fake.services.find('zoo')!.id);
    await eventually(() => {
      expect(names).toEqual(['api', 'web']);
    });

    fake.stop();
    fake.addService('new');
    await fake.start();
    await eventually(() => {
      expect(names).toEqual(['api', 'new', 'web']);
    });
    expect(lostStreams.length).toBeGreaterThan(0);
    const resumed = fake.requestsOf('WatchServices').at(-1) as { cursor: string };
    expect(Number(resumed.cursor)).toBeGreaterThan(0);

    fake.stop();
    fake.services.remove(fake.services.find('api')!.id);
    fake.services.forgetHistory();
    await fake.start();
    await eventually(() => {
      expect(names).toEqual(['new', 'web']);
    });
    stop.abort();
    await watching;
    await eventually(() => {
      expect(fake.services.watcherCount).toBe(0);
    });
  });

  test('ends when the client is closed', async () => {
    await using fake = await startFakeControl();
    const client = await connectTo(fake);
    const views = client.watchNodes()[Symbol.asyncIterator]();
    await views.next();
    const next = views.next();
    await client.close();
    expect((await next).done).toBe(true);
  });

  test('follows events from a cursor', async () => {
    await using fake = await startFakeControl();
    fake.addEvent('service.created', 'web', 'web was created');
    fake.addEvent('service.removed', 'web', 'web was removed');
    await using client = await connectTo(fake);
    const events = client.followEvents({ cursor: '1' });
    expect((await events.next()).value).toMatchObject({ type: 'service.removed' });
    fake.addEvent('node.joined', 'node-1', 'node-1 joined');
    expect((await events.next()).value).toMatchObject({ type: 'node.joined' });
    await events.return();
  });
});

describe('waiting for an action', () => {
  test('tells every line of the timeline once and resolves when it succeeded', async () => {
    await using fake = await startFakeControl();
    fake.holdActions = true;
    fake.addService('web');
    await using client = await connectTo(fake);
    const { action } = await client.control.scaleService({ service: 'web', replicas: 3 });
    const id = action!.id;
    fake.addProgress(id, 'web-2', 'pulling');
    const lines: string[] = [];
    const done = client.waitForAction(id, {
      onProgress: ({ container, message }) => lines.push(`${container} ${message}`),
    });
    await eventually(() => {
      expect(lines).toEqual(['web-2 pulling']);
    });
    fake.addProgress(id, 'web-3', 'pulling');
    await eventually(() => {
      expect(lines).toHaveLength(2);
    });
    fake.stop();
    fake.addProgress(id, 'web-2', 'ready');
    await fake.start();
    await eventually(() => {
      expect(lines).toEqual(['web-2 pulling', 'web-3 pulling', 'web-2 ready']);
    });
    fake.finishAction(id);
    expect((await done).state).toBe(ActionState.SUCCEEDED);
  });

  test.each([
    [ActionState.FAILED, 'failed: no node has the tag "x"'],
    [ActionState.SUPERSEDED, 'was superseded: no node has the tag "x"'],
  ])('throws when it ends otherwise (%i)', async (state, words) => {
    await using fake = await startFakeControl();
    fake.holdActions = true;
    fake.addService('web');
    await using client = await connectTo(fake);
    const { action } = await client.control.redeployService({ service: 'web' });
    fake.finishAction(action!.id, state, 'no node has the tag "x"');
    const error: unknown = await client
      .waitForAction(action!.id)
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ActionError);
    expect((error as ActionError).message).toContain(words);
    expect((error as ActionError).action.state).toBe(state);
  });

  test('gives up after its time and when it is told to', async () => {
    await using fake = await startFakeControl();
    fake.holdActions = true;
    fake.addService('web');
    await using client = await connectTo(fake);
    const { action } = await client.control.redeployService({ service: 'web' });
    const late = await failureOf(client.waitForAction(action!.id, { timeoutMs: 50 }));
    expect(late).toMatchObject({ code: Status.DEADLINE_EXCEEDED, reason: 'WAIT_TIMED_OUT' });

    const stop = new AbortController();
    const waiting = client.waitForAction(action!.id, {}, stop.signal);
    const reason = new Error('interrupted');
    stop.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    await eventually(() => {
      expect(fake.actions.watcherCount).toBe(0);
    });
  });
});
