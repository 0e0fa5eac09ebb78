/**
 * `npm run demo`: makes a fresh clone ready (dependencies, build), then runs the demo itself. Plain
 * JavaScript, because before that there is nothing to run TypeScript with.
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { makeReady } from './make-ready.js';

const main = fileURLToPath(new URL('main.ts', import.meta.url));

const help = `npm run demo -- [--json] [--keep | --down] [--single-engine]

Runs the tutorial on five hosts that it makes on this machine, checks every step, and removes all of it.

  --json            print one JSON document with every check on stdout; words go to stderr
                    (npm prints a banner of its own before: npm run --silent demo -- --json)
  --keep            leave the fleet running, and print how to talk to it
  --down            remove every demo that was kept or killed, without a trace
  --single-engine   let the one Docker Engine that is here play all five hosts, as happens by itself where
                    hosts cannot be made (DOCKER_HOST or /var/run/docker.sock)
`;

const args = process.argv.slice(2);
if (args.includes('--help') || args.includes('-h')) {
  process.stdout.write(help);
} else {
  await makeReady();
  process.exit(await runDemo());
}

/**
 * The demo runs in a session of its own, with all that it starts: a Ctrl-C at the terminal comes to us
 * alone, and never ends the very commands that clean up after it. If we are killed, the demo ends, too.
 */
async function runDemo() {
  const child = spawn(process.execPath, ['--import', 'tsx', main, ...args], {
    detached: true,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => child.kill(signal));
  }
  return await new Promise((resolve) => {
    // Before it listens to signals it has made nothing, and they simply end it.
    child.once('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
  });
}
