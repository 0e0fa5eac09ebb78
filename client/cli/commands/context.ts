import type { Command } from 'commander';
import { contextFile, type GlobalFlags } from '../context.ts';
import { environment } from '../environment.ts';
import type { Contexts } from '../context-file.ts';
import { CommandFailure, exitStatus } from '../exit-status.ts';
import { openOutput } from '../invocation.ts';
import { sorted, type Kind } from '../kinds.ts';

interface Context {
  readonly name: string;
  readonly coordinator: string;
  readonly current: boolean;
}

/** Without the token: that is for no eyes. */
const contextKind: Kind<Context> = {
  toJSON: (context) => context,
  nameOf: ({ name }) => name,
  columns: [
    { title: 'NAME', cell: ({ name }) => name },
    { title: 'COORDINATOR', cell: ({ coordinator }) => coordinator },
    { title: 'CURRENT', cell: ({ current }) => (current ? 'yes' : '') },
  ],
};

/** Adds the commands of contexts, which are coordinators that somebody logged in to. */
export function configure(context: Command): void {
  const list = context.command('ls').description('list the coordinators that you logged in to');
  list.action(async () => {
    const output = await openOutput(list.optsWithGlobals<GlobalFlags>());
    const { current, contexts } = contextFile(environment).load();
    const found = Object.entries(contexts).map(([name, { address }]) => {
      return { name, coordinator: address, current: name === current };
    });
    output.list(contextKind, sorted(contextKind, found));
  });

  context
    .command('use')
    .description('have commands talk to another coordinator from now on')
    .argument('<name>', 'name of its context')
    .action((name: string) => {
      const file = contextFile(environment);
      const known = file.load();
      requireKnown(known, name);
      file.store({ ...known, current: name });
    });

  context
    .command('rm')
    .description('forget coordinators and the tokens for them; the tokens stay valid')
    .argument('<name...>', 'name of a context')
    .action((names: readonly string[]) => {
      const file = contextFile(environment);
      const known = file.load();
      for (const name of names) requireKnown(known, name);
      const left = Object.entries(known.contexts).filter(([name]) => !names.includes(name));
      const current = names.includes(known.current) ? '' : known.current;
      file.store({ current, contexts: Object.fromEntries(left) });
    });
}

function requireKnown({ contexts }: Contexts, name: string): void {
  if (Object.hasOwn(contexts, name)) return;
  const names = Object.keys(contexts).join(', ') || 'none; "fairlead login" makes one';
  throw new CommandFailure(
    exitStatus.notFound,
    `no context is called "${name}"; there are: ${names}`,
  );
}
