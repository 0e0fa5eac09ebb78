import { writeFileSync } from 'node:fs';
import { afterAll, expect, test } from 'vitest';
import { CoordinatorInProcess } from '../../support/coordinator-in-process.ts';
import { SiteAuthority } from '../../support/site-certificates.ts';
import { TemporaryDirectory } from '../../support/temporary-directory.ts';
import { removeBuild, runCli } from './cli-process.ts';

afterAll(removeBuild);

test(
  'certificates are put, listed and removed by the command line',
  { timeout: 120_000 },
  async () => {
    await using directory = new TemporaryDirectory();
    await using coordinator = await CoordinatorInProcess.start(directory.join('state'));
    const env = {
      FAIRLEAD_ADDRESS: coordinator.address,
      FAIRLEAD_TOKEN_FILE: directory.join('state/admin.token'),
    };
    const run = (...args: string[]) => runCli(args, { env });
    const authority = await SiteAuthority.make();
    const site = await authority.site(['example.com', 'www.example.com']);
    const other = await authority.site('other.example.com');
    const file = (name: string, text: string) => {
      writeFileSync(directory.join(name), text);
      return directory.join(name);
    };
    const chain = file('chain.pem', site.chain);
    const key = file('key.pem', site.key);
    const both = file('both.pem', other.chain + other.key);

    const made = await run('certificate', 'put', 'example.com', '--chain', chain, '--key', key);
    expect(made).toMatchObject({ status: 0, stderr: '' });
    expect(made.stdout).toMatch(
      /example.com www.example.com +\d{4}-\d\d-\d\d \((59|60)d\) +all +EC P-256/,
    );
    expect(await run('certificate', 'put', 'other', '--chain', both)).toMatchObject({ status: 0 });

    const wrong = await run('certificate', 'put', 'example.com', '--chain', both, '--key', key);
    expect(wrong.status).toBe(2);
    expect(wrong.stderr).toContain('private_key_pem must be the only private key');
    const missing = await run('certificate', 'put', 'x', '--chain', directory.join('none.pem'));
    expect(missing).toMatchObject({ status: 2, stdout: '' });
    const lost = ['--chain', chain, '--key', key, '--if-version', '7'];
    expect(await run('certificate', 'put', 'example.com', ...lost)).toMatchObject({ status: 5 });

    const { stdout: names } = await run('certificate', 'ls', '--quiet');
    expect(names).toBe('example.com\nother\n');
    const { stdout: details } = await run('certificate', 'inspect', 'example.com', '--json');
    expect(JSON.parse(details)).toMatchObject({ name: 'example.com', chainLength: 2, version: 1 });
    expect(details).not.toContain('PRIVATE');

    const removed = await run('certificate', 'rm', 'example.com', 'other');
    expect(removed.status).toBe(0);
    expect((await run('certificate', 'inspect', 'other')).status).toBe(3);
  },
);
