import { text } from 'node:stream/consumers';
import { Agent, request } from 'node:https';
import { ClientError, Status } from 'nice-grpc';
import { expect, test } from 'vitest';
import { connect } from '../../../../client/index.ts';
import { FairleadError } from '../../../../client/fairlead-error.ts';
import { systemClock } from '../../../../shared/clock.ts';
import { AgentServiceDefinition } from '../../../../shared/gen/fairlead/v1/agent_service.ts';
import { authorizedClients, openChannel } from '../../../../shared/rpc/client.ts';
import { makePrivateKey, signingRequest } from '../../../../shared/rpc/signing-request.ts';
import { trustOf } from '../../../../shared/rpc/trust.ts';
import { Installation } from '../../../support/installation.ts';

const getInfo = '/fairlead.v1.ControlService/GetInfo';
const never = new AbortController().signal;

/** Whoever tries is told one of the two, at every door. */
type Refusal = 'told' | 'limited';

/** Tries `attempts` times, 16 at a time; what became of each. */
async function flood(attempts: number, attempt: () => Promise<Refusal>): Promise<Refusal[]> {
  const refusals: Refusal[] = [];
  let left = attempts;
  const tryOn = async () => {
    while (left-- > 0) refusals.push(await attempt());
  };
  await Promise.all(Array.from({ length: 16 }, tryOn));
  return refusals;
}

async function refusalOf(call: Promise<unknown>): Promise<Refusal> {
  const error = await call.then(
    () => new Error('a wrong token was let in'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof FairleadError || error instanceof ClientError)) throw error as Error;
  if (error.code === Status.UNAUTHENTICATED) return 'told';
  expect(error.code, error.message).toBe(Status.RESOURCE_EXHAUSTED);
  expect(error.message).toMatch(/too many wrong tokens came from 127\.0\.0\.1; wait \d+ s/);
  return 'limited';
}

test('N3: thousands of failing logins at every door, joining among them, lock nobody out, and fill no log', async () => {
  await using installation = await Installation.start();
  const { coordinator, client, adminToken } = installation;
  const { address } = coordinator;
  const wrong = adminToken.replace(/^flt_.{16}/, 'flt_0123456789abcdef');

  await using intruder = await connect({ address, token: wrong });
  const trust = trustOf(wrong);
  const channel = await openChannel(
    { address, trust },
    { clock: systemClock, timeoutMs: 5_000 },
    never,
  );
  const host = authorizedClients(wrong).create(AgentServiceDefinition, channel);
  const joining = { name: 'intruder', signingRequestPem: signingRequest(makePrivateKey()) };
  const agent = new Agent({ keepAlive: true, ca: coordinator.authorities });
  const post = async (): Promise<Refusal> => {
    const { statusCode = 0, body } = await postOnce(coordinator.httpPort, agent, wrong);
    if (statusCode === 401) return 'told';
    expect(statusCode).toBe(429);
    expect(body).toContain('TOO_MANY_FAILED_LOGINS');
    return 'limited';
  };

  let isOver = false;
  const floods = Promise.all([
    flood(1_500, () => refusalOf(intruder.control.getInfo({}))),
    flood(500, () => refusalOf(host.join(joining))),
    flood(500, post),
  ]).finally(() => {
    isOver = true;
  });
  let served = 0;
  while (!isOver) {
    await client.control.getInfo({});
    // A host of the same address, as behind the same router.
    if (served < 3) await installation.join(await installation.joinToken(), `host-${served}`);
    served++;
  }
  const refusals = (await floods).flat();
  agent.destroy();
  channel.close();

  expect(served).toBeGreaterThan(3);
  const told = refusals.filter((refusal) => refusal === 'told');
  // Twenty at once and one a second, of all doors together, however long the machine took.
  expect(told.length).toBeLessThan(200);

  const lines = coordinator.log().split('\n');
  const logged = (words: string) => lines.filter((line) => line.includes(words)).length;
  expect(logged('"UNAUTHENTICATED"')).toBe(told.length);
  expect(logged('logins fail too often')).toBeGreaterThan(0);
  expect(logged('logins fail too often')).toBeLessThan(20);
  expect(coordinator.log()).not.toContain(wrong.slice(21, 64));
});

async function postOnce(port: number, agent: Agent, token: string) {
  return await new Promise<{ readonly statusCode?: number; readonly body: string }>(
    (resolve, reject) => {
      const headers = {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
      };
      request(
        { host: '127.0.0.1', port, agent, method: 'POST', path: getInfo, headers },
        (response) => {
          void text(response).then((body) => {
            resolve({ ...(response.statusCode && { statusCode: response.statusCode }), body });
          }, reject);
        },
      )
        .once('error', reject)
        .end('{}');
    },
  );
}
