import { Option, type Command } from 'commander';
import type { View } from '../watch.ts';
import type { Invocation } from './invocation.ts';
import { sorted, type Kind } from './kinds.ts';
import type { Output } from './output.ts';

/** The flags that lists take. */
export interface ListFlags {
  readonly watch?: boolean;
  readonly quiet?: boolean;
}

/** Adds the flags of a list. */
export function addListFlags(command: Command): Command {
  return command
    .addOption(new Option('-w, --watch', 'go on and show every change'))
    .addOption(new Option('-q, --quiet', 'print names only'));
}

/** Where a list comes from. */
export interface Source<T> {
  readonly kind: Kind<T>;
  /** Name of the objects in the answers of the API: `services`. */
  readonly field: string;
  readonly list: () => Promise<readonly T[]>;
  readonly watch: (signal: AbortSignal) => AsyncIterable<View<T>>;
}

/** Prints a list, or keeps printing it. */
export async function printList<T>(
  { output, flags, signal }: Pick<Invocation<ListFlags>, 'output' | 'flags' | 'signal'>,
  source: Source<T>,
): Promise<void> {
  const print = flags.quiet === true ? printNames : printTable;
  if (flags.watch !== true) {
    const items = await source.list();
    if (output.json) output.list(source.kind, items);
    else print(output, source.kind, items);
    return;
  }
  let isFirst = true;
  for await (const view of source.watch(signal)) {
    if (output.json) {
      output.documentLine(changeOf(source, view));
    } else {
      output.newPicture(isFirst);
      print(output, source.kind, [...view.items.values()]);
    }
    isFirst = false;
  }
}

/** A view as the API's own response says it; what is empty is left out, as proto3's JSON does. */
function changeOf<T>({ kind, field }: Source<T>, view: View<T>): unknown {
  return {
    cursor: view.cursor,
    ...(view.snapshot ? { snapshot: true } : {}),
    ...(view.changed.length > 0 ? { [field]: view.changed.map((item) => kind.toJSON(item)) } : {}),
    ...(view.removedIds.length > 0 ? { removedIds: view.removedIds } : {}),
  };
}

function printTable<T>(output: Output, kind: Kind<T>, items: readonly T[]): void {
  output.table(kind, sorted(kind, items));
}

function printNames<T>(output: Output, kind: Kind<T>, items: readonly T[]): void {
  for (const item of sorted(kind, items)) output.line(kind.nameOf(item));
}
