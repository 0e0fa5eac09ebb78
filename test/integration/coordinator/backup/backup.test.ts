import { chmod, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import SqliteDatabase from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connect, type FairleadClient } from '../../../../client/index.ts';
import { takeBackup } from '../../../../coordinator/backup/backup.ts';
import { restoreBackup } from '../../../../coordinator/backup/restore.ts';
import { systemClock } from '../../../../shared/clock.ts';
import { CoordinatorInProcess } from '../../../support/coordinator-in-process.ts';
import { eventually } from '../../../support/eventually.ts';
import { TemporaryDirectory } from '../../../support/temporary-directory.ts';

const { signal } = new AbortController();
const deps = { clock: systemClock };

let directory: TemporaryDirectory;
let stateDir: string;
let file: string;
let other: string;

beforeEach(() => {
  directory = new TemporaryDirectory();
  stateDir = directory.join('state');
  file = directory.join('backup');
  other = directory.join('other');
});

afterEach(async () => {
  await directory[Symbol.asyncDispose]();
});

async function clientOf(coordinator: CoordinatorInProcess, from = stateDir) {
  const token = (await readFile(`${from}/admin.token`, 'utf8')).trim();
  return await connect({ address: coordinator.address, token });
}

const create = ({ control }: FairleadClient, name: string) =>
  control.createService({ name, spec: { image: 'hello:1' } });

async function names({ control }: FairleadClient): Promise<string[]> {
  return (await control.listServices({})).services.map(({ name }) => name);
}

async function modeOf(path: string): Promise<string> {
  return ((await stat(path)).mode & 0o777).toString(8);
}

/** A backup of a coordinator with one service, which does not run any more. */
async function backedUp(): Promise<void> {
  await using coordinator = await CoordinatorInProcess.start(stateDir);
  await using client = await clientOf(coordinator);
  await create(client, 'web');
  await takeBackup({ stateDir, file }, signal);
}

/** Names and content of all files. */
async function contentOf(path: string): Promise<Record<string, string>> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const pairs = files.map(async ({ name, parentPath }) => [
    `${parentPath}/${name}`,
    (await readFile(`${parentPath}/${name}`)).toString('base64'),
  ]);
  return Object.fromEntries(await Promise.all(pairs)) as Record<string, string>;
}

describe('a backup', () => {
  test('is taken while all goes on, and is a moment of it', async () => {
    await using coordinator = await CoordinatorInProcess.start(stateDir);
    await using client = await clientOf(coordinator);
    await create(client, 'web');
    let made = 0;
    let isDone = false;
    const writing = (async () => {
      while (!isDone) await create(client, `more-${++made}`);
    })();
    const manifest = await takeBackup({ stateDir, file }, signal);
    isDone = true;
    await writing;
    expect(manifest.files.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['fairlead.db', 'token.key', 'admin.token']),
    );
    expect(await modeOf(file)).toBe('600');
    expect(coordinator.log()).toContain('backup made');
    expect((await readdir(stateDir)).filter((name) => name.startsWith('copy-'))).toEqual([]);

    await restoreBackup({ stateDir: other, file, force: false }, deps);
    await using second = await CoordinatorInProcess.start(other);
    await using restored = await clientOf(second, other);
    const before = await names(restored);
    expect(before).toContain('web');
    expect(before.length).toBeLessThanOrEqual(made + 1);
    const info = await restored.control.getInfo({});
    expect(info.installationId).toBe((await client.control.getInfo({})).installationId);
  });

  test('needs a coordinator that runs', async () => {
    await expect(takeBackup({ stateDir, file }, signal)).rejects.toThrow(
      `no coordinator that runs on ${stateDir} can be asked for a backup`,
    );
    expect(await readdir(directory.path)).toEqual([]);
  });

  test('that cannot be written leaves nothing behind, and the one before as it was', async () => {
    await backedUp();
    const before = await readFile(file);
    await using coordinator = await CoordinatorInProcess.start(stateDir);
    const nowhere = directory.join('nowhere', 'backup');
    await expect(takeBackup({ stateDir, file: nowhere }, signal)).rejects.toThrow('ENOENT');
    await expect(takeBackup({ stateDir, file }, AbortSignal.abort())).rejects.toThrow();
    expect(await readFile(file)).toEqual(before);
    expect(await readdir(directory.path)).toEqual(['backup', 'state']);
    expect(coordinator.log()).not.toContain('"level":"error"');
  });

  test('that nobody reads to its end costs the coordinator nothing', async () => {
    await using coordinator = await CoordinatorInProcess.start(stateDir);
    await using client = await clientOf(coordinator);
    const socket = createConnection({ path: `${stateDir}/backup.sock` });
    // All of it lies in the kernel when its reader goes away.
    await eventually(() => {
      expect(coordinator.log()).toContain('backup made');
    });
    socket.destroy();
    await eventually(() => {
      expect(coordinator.log()).toContain('backup not taken');
    });
    await takeBackup({ stateDir, file }, signal);
    expect(await names(client)).toEqual([]);
  });

  test('can be read by its owner alone, as all files of a coordinator', async () => {
    await backedUp();
    await restoreBackup({ stateDir: other, file, force: false }, deps);
    for (const path of [stateDir, other]) {
      expect(await modeOf(path)).toBe('700');
      const names = await readdir(path);
      // A certificate without its key, for tools of others: nothing secret.
      for (const name of names.filter((each) => each !== 'ca.pem')) {
        expect(await modeOf(`${path}/${name}`), name).toBe('600');
      }
    }
  });
});

describe('a restore', () => {
  test('is refused over a coordinator that runs', async () => {
    await backedUp();
    await using coordinator = await CoordinatorInProcess.start(stateDir);
    await using client = await clientOf(coordinator);
    await expect(restoreBackup({ stateDir, file, force: true }, deps)).rejects.toMatchObject({
      reason: 'STORE_IN_USE',
    });
    await create(client, 'later');
    expect(await readdir(stateDir)).not.toContain('restoring');
  });

  test('over a state that is there takes --force, and puts that aside', async () => {
    await backedUp();
    {
      await using coordinator = await CoordinatorInProcess.start(stateDir);
      await using client = await clientOf(coordinator);
      await create(client, 'later');
    }
    const before = await contentOf(stateDir);
    await expect(restoreBackup({ stateDir, file, force: false }, deps)).rejects.toMatchObject({
      reason: 'STATE_EXISTS',
    });
    expect(await contentOf(stateDir)).toEqual(before);

    const { aside } = await restoreBackup({ stateDir, file, force: true }, deps);
    expect(Object.values(await contentOf(aside!)).sort()).toEqual(Object.values(before).sort());
    await using coordinator = await CoordinatorInProcess.start(stateDir);
    await using client = await clientOf(coordinator);
    expect(await names(client)).toEqual(['web']);
  });

  test('of a file that was cut, changed or is something else is refused, and changes nothing', async () => {
    await backedUp();
    const whole = await readFile(file);
    const before = await contentOf(stateDir);
    const changed = (at: number) => {
      const copy = Buffer.from(whole);
      copy[at]! ^= 1;
      return copy;
    };
    const places = [0, 16, 30, 100, 500, whole.length >> 1, whole.length - 1];
    const damaged = [
      Buffer.alloc(0),
      Buffer.from('something else\n'),
      Buffer.concat([whole, Buffer.from('x')]),
      ...places.map((at) => whole.subarray(0, at)),
      ...places.map(changed),
    ];
    for (const content of damaged) {
      await writeFile(file, content);
      await expect(restoreBackup({ stateDir, file, force: true }, deps)).rejects.toMatchObject({
        reason: 'BACKUP_DAMAGED',
      });
    }
    expect(await contentOf(stateDir)).toEqual(before);
  });

  test('that was interrupted is not started on, and can be done again', async () => {
    await backedUp();
    await mkdir(`${stateDir}/restoring`);
    await expect(CoordinatorInProcess.start(stateDir)).rejects.toMatchObject({
      reason: 'RESTORE_INTERRUPTED',
    });
    await restoreBackup({ stateDir, file, force: true }, deps);
    await using coordinator = await CoordinatorInProcess.start(stateDir);
    await using client = await clientOf(coordinator);
    expect(await names(client)).toEqual(['web']);
  });
});

describe('a file of the coordinator that is damaged is named, and not replaced', () => {
  const files = ['token.key', 'authority.json', 'fairlead.db'];

  test.each(files)('%s cut short', async (name) => {
    await backedUp();
    const path = `${stateDir}/${name}`;
    await truncate(path, 20);
    const before = await readFile(path);
    await expect(CoordinatorInProcess.start(stateDir)).rejects.toThrow(path);
    expect(await readFile(path)).toEqual(before);
  });

  test.each(files)('%s with something else in it', async (name) => {
    await backedUp();
    const path = `${stateDir}/${name}`;
    await writeFile(path, 'x'.repeat(65_536));
    await expect(CoordinatorInProcess.start(stateDir)).rejects.toThrow(path);
    expect(await readFile(path, 'utf8')).toBe('x'.repeat(65_536));
  });

  test.each(['token.key', 'authority.json'])('%s that is missing', async (name) => {
    await backedUp();
    const database = new SqliteDatabase(`${stateDir}/fairlead.db`);
    // As of a load balancer that runs.
    database.exec("UPDATE tokens SET record = json_set(record, '$.containerId', 'lb-1')");
    database.close();
    const path = `${stateDir}/${name}`;
    await rm(path);
    await expect(CoordinatorInProcess.start(stateDir)).rejects.toThrow(
      `${path} cannot be used: it is missing`,
    );
    await expect(stat(path)).rejects.toThrow('ENOENT');
  });

  test.each([
    ['missing', (path: string) => rm(path)],
    ['empty', (path: string) => truncate(path, 0)],
  ])('fairlead.db that is %s beside the keys, unless those are away too', async (what, lose) => {
    await backedUp();
    for (const beside of ['-wal', '-shm'])
      await rm(`${stateDir}/fairlead.db${beside}`, { force: true });
    const path = `${stateDir}/fairlead.db`;
    await lose(path);
    await expect(CoordinatorInProcess.start(stateDir)).rejects.toMatchObject({
      reason: 'STORE_MISSING',
      message: expect.stringContaining(`${path} is ${what} beside ${stateDir}/`) as string,
    });
    // One of them is enough, and begun anew is what is asked for so.
    await rm(`${stateDir}/authority.json`);
    await expect(CoordinatorInProcess.start(stateDir)).rejects.toThrow(`${stateDir}/token.key`);
    await rm(stateDir, { recursive: true });
    await using coordinator = await CoordinatorInProcess.start(stateDir);
    await using client = await clientOf(coordinator);
    expect(await names(client)).toEqual([]);
  });

  test('fairlead.db that is missing is had again by a restore', async () => {
    await backedUp();
    await rm(`${stateDir}/fairlead.db`);
    await expect(CoordinatorInProcess.start(stateDir)).rejects.toThrow('coordinator restore');
    await restoreBackup({ stateDir, file, force: true }, deps);
    await using coordinator = await CoordinatorInProcess.start(stateDir);
    await using client = await clientOf(coordinator);
    expect(await names(client)).toEqual(['web']);
  });

  test.each(files)('%s that is a directory', async (name) => {
    await mkdir(`${stateDir}/${name}`, { recursive: true });
    await chmod(stateDir, 0o700);
    await expect(CoordinatorInProcess.start(stateDir)).rejects.toThrow(`${stateDir}/${name}`);
  });
});
