/**
 * `npm test`: every level in turn, the quick ones first, so that tests which need the machine to
 * themselves have it. Names of levels (unit, integration, e2e) as arguments run those alone; everything
 * after `--` goes to vitest. Closes with one line that adds up all runs.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const levels = ['unit', 'integration', 'e2e'];
const [own, rest] = splitAt(process.argv.slice(2), '--');
const unknown = own.filter((name) => !levels.includes(name));
if (unknown.length > 0) {
  console.error(`there is no level ${unknown.join(', ')}; there are ${levels.join(', ')}`);
  process.exit(2);
}
const chosen = own.length > 0 ? own : levels;

let passed = 0;
let failed = 0;
let skipped = 0;
let broken = false;
// Fleets run what is shipped.
if (chosen.some((level) => level !== 'unit')) execute('npm', ['run', '--silent', 'build']);
for (const level of chosen) runLevel(level);
if (skipped > 0) console.log(`${skipped} skipped: their names say why`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(broken || failed > 0 || passed === 0 ? 1 : 0);

function runLevel(level) {
  const directory = mkdtempSync(join(tmpdir(), 'fairlead-test-'));
  const report = join(directory, 'report.json');
  try {
    execute('npx', [
      ...['--no-install', 'vitest', 'run', '--project', level],
      ...['--reporter=default', '--reporter=json', `--outputFile.json=${report}`],
      ...rest,
    ]);
    const result = JSON.parse(readFileSync(report, 'utf8'));
    passed += result.numPassedTests;
    failed += result.numFailedTests;
    skipped += result.numPendingTests;
  } catch (error) {
    console.error(`${level}: no report (${error.message})`);
    broken = true;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function execute(command, args) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) broken = true;
}

function splitAt(list, mark) {
  const index = list.indexOf(mark);
  return index < 0 ? [list, []] : [list.slice(0, index), list.slice(index + 1)];
}
