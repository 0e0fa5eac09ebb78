/**
 * `npm run demo`: makes a fresh clone ready (dependencies, build), then runs the demo itself. Plain
 * JavaScript, because before that there is nothing to run TypeScript with.
 */
import { makeReady } from './make-ready.js';

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
  const { register } = await import('tsx/esm/api');
  register();
  const { runDemo } = await import('./main.ts');
  process.exit(await runDemo(args));
}
