import { Option, type Command } from 'commander';
import { untilSignalled } from '../../../shared/process.ts';
import { daemons, type Daemon } from '../daemons.ts';
import { environment } from '../environment.ts';
import { collect } from '../values.ts';

/** Flags that every command takes; the daemon's own come from there. */
const globalFlags: ReadonlySet<string> = new Set(['coordinator', 'token', 'tokenFile']);

/** Adds `run` to the command of a daemon. */
export function configure(name: keyof typeof daemons): (noun: Command) => void {
  return (noun) => {
    const daemon: Daemon = daemons[name];
    const command = noun.command('run').description(daemon.description);
    for (const [flag, { placeholder, description, many }] of Object.entries(daemon.flags)) {
      const option = new Option(`--${kebab(flag)} <${placeholder}>`, description);
      if (many === true) {
        option.argParser(collect(String));
      }
      if (!globalFlags.has(flag)) command.addOption(option);
    }
    command
      .addHelpText('after', '\nEach flag is also a variable: --state-dir is FAIRLEAD_STATE_DIR.')
      .action(async () => {
        const given = command.optsWithGlobals<Record<string, unknown>>();
        const flags = Object.fromEntries(
          Object.keys(daemon.flags).flatMap((flag) =>
            given[flag] === undefined ? [] : [[flag, given[flag]]],
          ),
        );
        const run = await daemon.load();
        const status = await untilSignalled((signal) => run(flags, environment, signal));
        // What a pool of connections keeps must not keep the process; the logger flushes on exit.
        process.exit(status);
      });
  };
}

function kebab(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
