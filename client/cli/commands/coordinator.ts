import { Option, type Command } from 'commander';
import { systemClock } from '../../../shared/clock.ts';
import type { GlobalFlags } from '../context.ts';
import { coordinatorFiles } from '../daemons.ts';
import { environment } from '../environment.ts';
import { Interrupts, openOutput } from '../invocation.ts';
import { configure as configureDaemon } from './daemon.ts';

interface FileFlags extends GlobalFlags {
  readonly stateDir?: string;
  readonly force?: boolean;
}

const stateDirectory = '/var/lib/fairlead/coordinator';

/** Adds the commands of the coordinator itself, as a process and as files. */
export function configure(coordinator: Command): void {
  configureDaemon('coordinator')(coordinator);
  addBackup(coordinator);
  addRestore(coordinator);
}

function addBackup(coordinator: Command): void {
  const command = coordinator
    .command('backup')
    .description('write all that the coordinator on this host holds to one file, while it runs')
    .argument('<file>', 'where to; it holds keys, and gets mode 0600');
  addStateDirectory(command).action(async () => {
    const { flags, file, output } = await invocationOf(command);
    using interrupts = new Interrupts();
    const takeBackup = await coordinatorFiles.takeBackup();
    const manifest = await takeBackup({ stateDir: flags.stateDir, file }, interrupts.signal);
    if (output.json) output.document({ file, ...manifest });
    else output.line(`${file}: ${manifest.files.map(({ name }) => name).join(', ')}`);
  });
}

function addRestore(coordinator: Command): void {
  const command = coordinator
    .command('restore')
    .description('put a backup into the state directory of a coordinator that does not run')
    .argument('<file>', 'a backup')
    .addOption(new Option('--force', 'put aside what is in the state directory'));
  addStateDirectory(command)
    .addHelpText(
      'after',
      '\nContainers that were made after the backup run on as orphans: see "fairlead node orphans".',
    )
    .action(async () => {
      const { flags, file, output } = await invocationOf(command);
      const restoreBackup = await coordinatorFiles.restoreBackup();
      const { stateDir, force = false } = flags;
      const { manifest, aside } = await restoreBackup(
        { stateDir, file, force },
        { clock: systemClock },
      );
      if (output.json) output.document({ stateDir, aside, ...manifest });
      else output.line(`${stateDir}: as of ${manifest.createdAt}`);
      if (aside !== null) output.note(`what was there before is in ${aside}`);
    });
}

function addStateDirectory(command: Command): Command {
  return command.addOption(
    new Option('--state-dir <dir>', `where the coordinator keeps its files (${stateDirectory})`),
  );
}

async function invocationOf(command: Command) {
  const given = command.optsWithGlobals<FileFlags>();
  const stateDir = given.stateDir ?? environment['FAIRLEAD_STATE_DIR'] ?? stateDirectory;
  const flags = { ...given, stateDir };
  return { flags, file: command.args[0] ?? '', output: await openOutput(flags) };
}
