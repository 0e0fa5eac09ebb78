import { readFile } from 'node:fs/promises';
import { Status } from 'nice-grpc';
import { expect, test } from 'vitest';
import { connect, type FairleadClient } from '../../../../client/index.ts';
import { FairleadError } from '../../../../client/fairlead-error.ts';
import { CoordinatorInProcess } from '../../../support/coordinator-in-process.ts';
import { TemporaryDirectory } from '../../../support/temporary-directory.ts';

const attempts = 2_000;
const atATime = 50;

async function failureOf({ control }: FairleadClient): Promise<FairleadError> {
  try {
    await control.getInfo({});
  } catch (error) {
    if (error instanceof FairleadError) return error;
    throw error;
  }
  throw new Error('a wrong token was let in');
}

test('thousands of failing logins lock nobody out, and fill no log', async () => {
  await using directory = new TemporaryDirectory();
  await using coordinator = await CoordinatorInProcess.start(directory.join('state'));
  const right = (await readFile(directory.join('state', 'admin.token'), 'utf8')).trim();
  const wrong = right.replace(/^flt_.{16}/, 'flt_0123456789abcdef');
  const { address } = coordinator;
  await using admin = await connect({ address, token: right });
  await using intruder = await connect({ address, token: wrong });

  const failures: FairleadError[] = [];
  let left = attempts;
  let rightAnswers = 0;
  const fail = async () => {
    while (left-- > 0) failures.push(await failureOf(intruder));
  };
  const flood = Promise.all(Array.from({ length: atATime }, fail));
  while (failures.length < attempts) {
    await admin.control.getInfo({});
    rightAnswers++;
  }
  await flood;

  expect(rightAnswers).toBeGreaterThan(10);
  const limited = failures.filter(({ code }) => code === Status.RESOURCE_EXHAUSTED);
  const told = failures.filter(({ code }) => code === Status.UNAUTHENTICATED);
  expect(limited.length + told.length).toBe(failures.length);
  // Twenty at once and one a second, however long the machine took.
  expect(told.length).toBeLessThan(200);
  expect(limited[0]).toMatchObject({ reason: 'TOO_MANY_FAILED_LOGINS' });
  expect(limited[0]?.message).toMatch(/^too many wrong tokens came from 127\.0\.0\.1; wait \d+ s/);

  const http = await coordinator.fetch('/fairlead.v1.ControlService/GetInfo', {
    headers: { authorization: `Bearer ${wrong}` },
  });
  expect([401, 429]).toContain(http.status);
  http.cancel();

  const lines = coordinator.log().split('\n');
  const logged = (words: string) => lines.filter((line) => line.includes(words)).length;
  expect(logged('"UNAUTHENTICATED"')).toBe(told.length + Number(http.status === 401));
  expect(logged('logins fail too often')).toBeGreaterThan(0);
  expect(logged('logins fail too often')).toBeLessThan(20);
  expect(coordinator.log()).not.toContain(wrong.slice(21, 64));
});
