import { mkdirSync, statSync } from 'node:fs';
import { expect, test } from 'vitest';
import { makePrivateDirectory } from '../../../shared/private-directory.ts';
import { TemporaryDirectory } from '../../support/temporary-directory.ts';

const modeOf = (path: string) => statSync(path).mode & 0o777;

test.each([0o022, 0o077])(
  'parents can be entered, itself only by its owner: umask %o',
  async (mask) => {
    await using directory = new TemporaryDirectory();
    mkdirSync(directory.join('kept'), { mode: 0o750 });
    process.umask(mask);
    const path = directory.join('kept/fairlead/parts/own');
    makePrivateDirectory(path);
    const modes = ['kept', 'kept/fairlead', 'kept/fairlead/parts', 'kept/fairlead/parts/own'];
    expect(modes.map((name) => modeOf(directory.join(name)))).toEqual([0o750, 0o755, 0o755, 0o700]);
  },
);

test('one that is there becomes private', async () => {
  await using directory = new TemporaryDirectory();
  mkdirSync(directory.join('own'), { mode: 0o755 });
  makePrivateDirectory(directory.join('own'));
  expect(modeOf(directory.join('own'))).toBe(0o700);
});
