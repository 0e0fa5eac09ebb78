import { parseArgs } from 'node:util';
import { untilSignalled } from '../../shared/process.ts';
import { Fleet } from '../support/fleet/fleet.ts';
import { runTutorial } from '../tutorial/run-tutorial.ts';
import { silent } from '../tutorial/report.ts';
import { startRelay } from './keep.ts';
import { terminalNarrator } from './narrator.ts';
import { removeKept, startSite } from './sites.ts';

const help = `npm run demo -- [--json] [--keep | --down]

  --json   print one JSON document with every check, and nothing else
  --keep   leave the fleet running, and print how to talk to it
  --down   remove every demo that was kept or killed, without a trace
`;

async function main(signal: AbortSignal): Promise<void> {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      down: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const say = (line: string) => {
    (values.json ? process.stderr : process.stdout).write(`${line}\n`);
  };
  if (values.help) {
    process.stdout.write(help);
    return;
  }
  if (values.down) {
    const removed = await removeKept(signal);
    say(removed.length === 0 ? 'no demo is there' : `removed: ${removed.join(', ')}`);
    return;
  }
  await demo({ json: values.json, keep: values.keep, say }, signal);
}

interface DemoOptions {
  readonly json: boolean;
  readonly keep: boolean;
  readonly say: (line: string) => void;
}

async function demo({ json, keep, say }: DemoOptions, signal: AbortSignal): Promise<void> {
  await using fleet = new Fleet(await startSite({ hosts: 5, say }, signal));
  const narrator = json ? silent : terminalNarrator(process.stdout);
  const report = await runTutorial(fleet, narrator, signal);
  if (json) {
    process.stdout.write(`${JSON.stringify({ ok: report.ok, checks: report.checks }, null, 2)}\n`);
  } else {
    const failed = report.checks.filter(({ ok }) => !ok).length;
    say(`\n${report.checks.length - failed} of ${report.checks.length} checks hold`);
  }
  if (keep) {
    const port = await startRelay(fleet, signal);
    fleet.site.keep();
    say(
      [
        '',
        'The fleet keeps running. Talk to it:',
        `  export FAIRLEAD_ADDRESS=${fleet.address}`,
        `  export FAIRLEAD_TOKEN=${fleet.token}`,
        '  node dist/client/cli/main.js service ls',
        `  curl http://127.0.0.1:${port}/                      the load balancer`,
        `  curl -H "Authorization: Bearer $FAIRLEAD_TOKEN" -H 'content-type: application/json' \\`,
        `       -d '{}' ${fleet.httpUrl}/fairlead.v1.ControlService/ListServices`,
        'Remove it with: npm run demo -- --down',
      ].join('\n'),
    );
  }
  if (!report.ok) process.exitCode = 1;
}

const status = await untilSignalled(main, 60_000);
process.exit(status === 0 ? (process.exitCode ?? 0) : status);
