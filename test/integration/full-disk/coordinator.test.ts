import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { connect, Role, type FairleadClient } from '../../../client/index.ts';
import { ContextFile } from '../../../client/cli/context-file.ts';
import { FairleadError } from '../../../client/fairlead-error.ts';
import { takeBackup } from '../../../coordinator/backup/backup.ts';
import { restoreBackup } from '../../../coordinator/backup/restore.ts';
import { systemClock } from '../../../shared/clock.ts';
import { CoordinatorInProcess } from '../../support/coordinator-in-process.ts';
import { eventually } from '../../support/eventually.ts';
import { describeWithMounts } from '../../support/needs.ts';
import { SmallDisk } from '../../support/small-disk.ts';
import { TemporaryDirectory } from '../../support/temporary-directory.ts';

const patience = { timeoutMs: 30_000 };
const never = new AbortController().signal;

async function clientOf(coordinator: CoordinatorInProcess, stateDir: string) {
  const token = readFileSync(`${stateDir}/admin.token`, 'utf8').trim();
  return await connect({ address: coordinator.address, token });
}

const create = ({ control }: FairleadClient, name: string) =>
  control.createService({ name, spec: { image: 'hello:1' } });

async function names({ control }: FairleadClient): Promise<string[]> {
  return (await control.listServices({})).services.map(({ name }) => name).sort();
}

async function failureOf(call: Promise<unknown>): Promise<FairleadError> {
  const error = await call.then(
    () => new Error('it did not fail'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof FairleadError)) throw error as Error;
  return error;
}

/** Changes things until there is no space for another change. */
async function fillUp(disk: SmallDisk, client: FairleadClient): Promise<FairleadError> {
  disk.fill();
  // The database has some space of its own.
  for (let count = 0; ; count++) {
    try {
      await create(client, `more-${count}`);
    } catch (error) {
      if (error instanceof FairleadError) return error;
      throw error;
    }
  }
}

describeWithMounts('while the disk is full', () => {
  test('a coordinator refuses changes, all or nothing, answers, restarts, and goes on', async () => {
    await using disk = await SmallDisk.mount(24);
    const stateDir = disk.join('state');
    let before: string[];
    {
      await using coordinator = await CoordinatorInProcess.start(stateDir);
      await using client = await clientOf(coordinator, stateDir);
      await create(client, 'web');
      expect(await fillUp(disk, client)).toMatchObject({
        reason: 'STORE_FULL',
        message: expect.stringMatching(
          /the change was not stored: .*; free space on the disk of .*fairlead\.db and try again/,
        ) as string,
      });
      expect(
        await failureOf(client.control.createToken({ name: 'x', role: Role.NODE })),
      ).toMatchObject({ reason: 'STORE_FULL' });
      before = await names(client);
      expect(before).toContain('web');
      expect((await client.control.listTokens({})).tokens.map(({ name }) => name)).toEqual([
        'admin',
      ]);
    }
    // It starts with no space at all, and loses nothing.
    await using coordinator = await CoordinatorInProcess.start(stateDir);
    await using client = await clientOf(coordinator, stateDir);
    expect(await names(client)).toEqual(before);
    disk.free();
    await create(client, 'after');
    expect(await names(client)).toEqual(['after', ...before].sort());
  });

  test('a coordinator does not start for the first time, says why, and does with space', async () => {
    await using disk = await SmallDisk.mount(24);
    const stateDir = disk.join('state');
    disk.fill();
    await expect(CoordinatorInProcess.start(stateDir)).rejects.toMatchObject({
      reason: 'STORE_FULL',
      message: expect.stringMatching(/not stored: .*; free space on the disk of .*db/) as string,
    });
    disk.free();
    await using coordinator = await CoordinatorInProcess.start(stateDir);
    await using client = await clientOf(coordinator, stateDir);
    await create(client, 'web');
  });

  test('a coordinator renews its certificate all the same, and writes it down when there is space', async () => {
    await using disk = await SmallDisk.mount(24);
    const stateDir = disk.join('state');
    const certificateLifeSeconds = 6;
    const file = () => readFileSync(`${stateDir}/authority.json`, 'utf8');
    let before: string;
    {
      await using coordinator = await CoordinatorInProcess.start(stateDir, {
        certificateLifeSeconds,
      });
      before = file();
      disk.fill();
      // Longer than any of its certificates lives.
      await eventually(() => {
        expect(coordinator.log().split('"own certificate made"').length).toBeGreaterThan(5);
      }, patience);
      expect(coordinator.log()).toMatch(/authority\.json cannot be written: ENOSPC.*; free space/);
      expect((await coordinator.fetch('/healthz', {})).status).toBe(200);
      expect(file()).toBe(before);
      expect(readdirSync(stateDir)).not.toContain('authority.json.new');
    }
    // That on the disk has expired, and there is still no space.
    await using coordinator = await CoordinatorInProcess.start(stateDir, {
      certificateLifeSeconds,
    });
    expect((await coordinator.fetch('/healthz', {})).status).toBe(200);
    expect(file()).toBe(before);
    disk.free();
    await eventually(() => {
      expect(file()).not.toBe(before);
    }, patience);
    expect((await coordinator.fetch('/healthz', {})).status).toBe(200);
  });

  test('a backup fails with the reason, on either side, and the one before stays', async () => {
    await using disk = await SmallDisk.mount(24);
    await using directory = new TemporaryDirectory();
    const stateDir = directory.join('state');
    const file = disk.join('backup');
    {
      await using coordinator = await CoordinatorInProcess.start(stateDir);
      await takeBackup({ stateDir, file }, never);
      const before = readFileSync(file);
      disk.fill();
      await expect(takeBackup({ stateDir, file }, never)).rejects.toMatchObject({
        reason: 'BACKUP_FAILED',
        message: expect.stringMatching(/could not be written to .*backup\.new: ENOSPC/) as string,
      });
      expect(readFileSync(file)).toEqual(before);
      expect(readdirSync(disk.path).sort()).toEqual(['backup', 'filler']);
      expect(coordinator.log()).not.toContain('"level":"error"');
    }
    // The other way round: the coordinator has no space for the copy that it makes.
    const full = disk.join('state');
    disk.free();
    await restoreBackup({ stateDir: full, file, force: false }, { clock: systemClock });
    await using _coordinator = await CoordinatorInProcess.start(full);
    disk.fill();
    const elsewhere = directory.join('backup');
    await expect(takeBackup({ stateDir: full, file: elsewhere }, never)).rejects.toMatchObject({
      reason: 'BACKUP_FAILED',
      message: expect.stringContaining('the coordinator cannot make a backup') as string,
    });
    expect(readdirSync(directory.path)).toEqual(['state']);
    expect(readdirSync(full).filter((name) => name.startsWith('copy-'))).toEqual([]);
    disk.free();
    await takeBackup({ stateDir: full, file: elsewhere }, never);
  });

  test('a restore changes nothing, says why, and works when there is space', async () => {
    await using disk = await SmallDisk.mount(24);
    await using directory = new TemporaryDirectory();
    const stateDir = disk.join('state');
    const file = directory.join('backup');
    {
      await using coordinator = await CoordinatorInProcess.start(stateDir);
      await using client = await clientOf(coordinator, stateDir);
      await create(client, 'web');
      await takeBackup({ stateDir, file }, never);
      await create(client, 'later');
    }
    disk.fill();
    const options = { stateDir, file, force: true };
    await expect(restoreBackup(options, { clock: systemClock })).rejects.toMatchObject({
      reason: 'RESTORE_FAILED',
      message: expect.stringMatching(
        /ENOSPC.*; free space .*What was there is as it was/,
      ) as string,
    });
    {
      await using coordinator = await CoordinatorInProcess.start(stateDir);
      await using client = await clientOf(coordinator, stateDir);
      expect(await names(client)).toEqual(['later', 'web']);
    }
    disk.free();
    await restoreBackup(options, { clock: systemClock });
    await using coordinator = await CoordinatorInProcess.start(stateDir);
    await using client = await clientOf(coordinator, stateDir);
    expect(await names(client)).toEqual(['web']);
  });

  test('the command line keeps the contexts that it had, whole, when a part of the new ones fits', async () => {
    await using disk = await SmallDisk.mount(1);
    const file = new ContextFile(disk.join('contexts.json'));
    const address = (length: number) => ({ address: 'x'.repeat(length), token: 'flt_1' });
    file.store({ current: 'one', contexts: { one: address(10) } });
    writeFileSync(disk.join('spare'), 'x');
    disk.fill();
    rmSync(disk.join('spare'));
    expect(() => {
      file.store({ current: 'two', contexts: { two: address(10_000) } });
    }).toThrow(/contexts\.json cannot be written: ENOSPC.*; nothing was saved/);
    expect(file.load()).toEqual({ current: 'one', contexts: { one: address(10) } });
    expect(readdirSync(disk.path).sort()).toEqual(['contexts.json', 'filler']);
  });
});
