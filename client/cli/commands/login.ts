import { Option, type Command } from 'commander';
import { type Role } from '../../../shared/gen/fairlead/v1/token.ts';
import { contextFile, givenAddress, givenTokenFile, type GlobalFlags } from '../context.ts';
import { environment } from '../environment.ts';
import { CommandFailure, exitStatus } from '../exit-status.ts';
import { Interrupts, loadConnect, openOutput } from '../invocation.ts';
import { readSecret } from '../secret-input.ts';
import { roleWords } from '../words.ts';

interface LoginFlags extends GlobalFlags {
  readonly name?: string;
}

const connectTimeoutMs = 5_000;

/** Makes this the command that checks a token and keeps it for later commands. */
export function configure(login: Command): void {
  login
    .addOption(new Option('--name <name>', 'name of the context (the address of the coordinator)'))
    .addHelpText(
      'after',
      `
The token is read from --token-file, from a pipe, or from a prompt that does not show it.

Examples:
  fairlead login --coordinator fleet.example.com:7600
  fairlead login --coordinator 198.51.100.1:7600 --name lab --token-file admin.token`,
    )
    .action(async () => {
      await logIn(login.optsWithGlobals<LoginFlags>());
    });
}

async function logIn(flags: LoginFlags): Promise<void> {
  if (flags.token !== undefined) {
    const why = 'a token in an argument is seen in the list of processes';
    throw new CommandFailure(exitStatus.usage, `${why}: pipe it in, or give --token-file`);
  }
  const address = givenAddress(flags, environment);
  if (address === '') {
    throw new CommandFailure(exitStatus.usage, 'no coordinator: give --coordinator HOST:PORT');
  }
  const output = await openOutput(flags);
  using interrupts = new Interrupts();
  const { signal } = interrupts;
  const token =
    givenTokenFile(flags) ?? (await readSecret(`Token for ${address}: `, process, signal));
  if (token === '') throw new CommandFailure(exitStatus.usage, 'no token was given');
  const { principal, role } = await check({ address, token }, signal);
  const name = flags.name ?? address;
  const file = contextFile(environment);
  const { contexts } = file.load();
  file.store({ current: name, contexts: { ...contexts, [name]: { address, token } } });
  if (output.json) output.document({ name, coordinator: address, principal });
  else output.line(`logged in to ${address} as ${principal}, ${roleWords(role)}: context ${name}`);
}

/** Nothing is kept that does not work. */
async function check(
  target: { readonly address: string; readonly token: string },
  signal: AbortSignal,
): Promise<{ readonly principal: string; readonly role: Role }> {
  const connect = await loadConnect();
  const client = await connect(target, { connectTimeoutMs }, signal);
  try {
    return await client.control.getInfo({}, { signal });
  } finally {
    await client[Symbol.asyncDispose]();
  }
}
