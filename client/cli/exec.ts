import { Option, type Command } from 'commander';
import type { ExecContainerRequest } from '../../shared/gen/fairlead/v1/control_service.ts';
import { ExecOutput, type TerminalSize } from '../../shared/gen/fairlead/v1/exec.ts';
import { FairleadError } from '../fairlead-error.ts';
import { environment } from './environment.ts';
import { ExecRequests } from './exec-requests.ts';
import { CommandFailure } from './exit-status.ts';
import { connected, type Invocation } from './invocation.ts';
import type { Output } from './output.ts';
import { collect, readVariable } from './values.ts';

interface ExecFlags {
  readonly interactive?: boolean;
  readonly tty?: boolean;
  readonly user?: string;
  readonly workdir?: string;
  readonly env?: readonly (readonly [string, string])[];
}

/** The status if what became of a command is not known; all else that we fail with comes before it begins. */
const lostStatus = 125;

/** Makes this the command that runs others inside of containers. */
export function configureExec(command: Command): void {
  const variable = (text: string) => readVariable(text, environment);
  command
    .description("run a command inside of a container; the exit status is the command's")
    .argument('<container>', 'name, such as web-3, or id')
    .argument('<command...>', 'the command and its arguments; after -- if they begin with a dash')
    .addOption(new Option('-i, --interactive', 'give it what is piped or typed in'))
    .addOption(new Option('-t, --tty', 'give it a terminal'))
    .addOption(new Option('-u, --user <user>', 'run as this user, NAME or NUMBER, with :GROUP'))
    .addOption(new Option('-w, --workdir <directory>', 'run there'))
    .addOption(
      new Option('-e, --env <variable>', 'KEY=VALUE, or KEY for its value here').argParser(
        collect(variable),
      ),
    )
    .addHelpText(
      'after',
      `
Examples:
  fairlead container exec web-1 -- cat /etc/hosts
  fairlead container exec -it web-1 -- sh
  tar c data | fairlead container exec -i db-1 -- tar x -C /srv`,
    )
    .action(async (...params: unknown[]) => {
      using requests = new ExecRequests(process.stdin, process.stdout);
      const handler = connected<ExecFlags>(
        (run) => exec(run, requests),
        () => requests.interrupts(),
      );
      await handler(...params);
    });
}

async function exec(
  { client, output, flags, args, signal }: Invocation<ExecFlags>,
  requests: ExecRequests,
): Promise<void> {
  const how = { interactive: flags.interactive === true, terminal: flags.tty === true };
  const start = startOf(flags, args, requests.sizeFor(how));
  try {
    const answers = client.control.execContainer(requests.after(start), { signal });
    for await (const { message } of answers) {
      if (message?.$case === 'started') requests.begin(how);
      else if (message?.$case === 'output') await show(output, message.value);
    }
  } catch (error) {
    throw requests.hasBegun && !signal.aborted ? lossOf(error) : error;
  }
}

/** What failed while the command ran is not to be taken for what the command said. */
function lossOf(error: unknown): unknown {
  return error instanceof FairleadError ? new CommandFailure(lostStatus, error.message) : error;
}

/** What to run, and where. */
function startOf(
  { interactive = false, tty = false, user = '', workdir = '', env = [] }: ExecFlags,
  [container = '', ...command]: readonly string[],
  size: TerminalSize | undefined,
): ExecContainerRequest {
  const what = { command, terminal: tty, interactive, user, workingDir: workdir, size };
  const value = { container, command: { ...what, environment: Object.fromEntries(env) } };
  return { message: { $case: 'start', value } };
}

/** Throws the exit status of the command when it has ended otherwise than well. */
async function show(output: Output, told: ExecOutput): Promise<void> {
  if (output.json) {
    await output.bytes('stdout', Buffer.from(`${JSON.stringify(ExecOutput.toJSON(told))}\n`));
  }
  switch (told.output?.$case) {
    case 'stdout':
    case 'stderr':
      if (!output.json) await output.bytes(told.output.$case, told.output.value);
      return;
    case 'exit':
      if (told.output.value.code !== 0) throw new CommandFailure(told.output.value.code, '');
      return;
    case undefined:
      return;
  }
}
