import { isDeepStrictEqual } from 'node:util';
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { ServiceSpec } from '../../shared/gen/fairlead/v1/service.ts';
import { collect } from './values.ts';

/** Values of flags by their names, as commander has them. */
export type FlagValues = Readonly<Record<string, unknown>>;

/** A flag that stands for one field of a spec. */
export interface OptionFlag {
  readonly flags: string;
  readonly description: string;
  /** Path within the spec, in camelCase. More than one flag may add to a list. */
  readonly path: string;
  readonly read?: (text: string) => unknown;
  /** Of a list: by what its entries are told apart. */
  readonly keyOf?: (entry: never) => string;
  /** Of a list: two entries of one key in one command are a mistake, unless they are the same. */
  readonly namesApart?: boolean;
  /** The list is a map, and its entries are pairs. */
  readonly isMap?: boolean;
  /** Path in a mask, where that is not the one in the message. */
  readonly mask?: string;
  /** What the message has around it. */
  readonly also?: object;
  /** It takes the field away. */
  readonly clears?: boolean;
  /** It names entries, by their keys, that are taken out. */
  readonly removes?: boolean;
  /** The only values, and what they are in the message. */
  readonly words?: Readonly<Record<string, number>>;
}

/** Flags that are shown together under a title. */
export type FlagGroup = readonly [title: string, flags: readonly OptionFlag[]];

/** Names of the lists, which `--clear` can empty. */
export function listsOf(groups: readonly FlagGroup[]): string[] {
  return groups
    .flatMap(([, flags]) => flags)
    .filter(({ keyOf, removes }) => keyOf !== undefined && removes !== true)
    .map(({ flags }) => optionOf(flags).long.slice(2));
}

/** Adds flags to a command. */
export function addOptionFlags(command: Command, groups: readonly FlagGroup[]): void {
  for (const [title, flags] of groups) {
    command.optionsGroup(title);
    for (const flag of flags) addFlag(command, flag);
  }
}

function addFlag(command: Command, flag: OptionFlag): void {
  const { flags, description, read, keyOf, words } = flag;
  const option = new Option(flags, description);
  if (keyOf !== undefined) option.argParser(collectEntries(flag, keyOf));
  else if (read !== undefined) option.argParser(read);
  else if (words !== undefined) option.choices(Object.keys(words));
  command.addOption(option);
  if (!option.isBoolean() || option.negate) return;
  command.addOption(new Option(optionOf(flags).long.replace('--', '--no-'), 'the opposite'));
}

/** Adds to the entries that were given before; two that are to be told apart, and cannot, are a mistake. */
function collectEntries(
  { read, namesApart }: OptionFlag,
  keyOf: (entry: never) => string,
): (text: string, before?: readonly unknown[]) => unknown[] {
  const add = collect(read ?? String);
  return (text, before = []) => {
    const all = add(text, before);
    if (namesApart !== true) return all;
    const known = new Map<string, unknown>();
    for (const entry of all.flat()) {
      const key = keyOf(entry as never);
      if (known.has(key) && !isDeepStrictEqual(known.get(key), entry)) {
        throw new InvalidArgumentError(`Two are called "${key}": give one a name=… of its own.`);
      }
      known.set(key, entry);
    }
    return all;
  };
}

/** A field of the spec that flags change. */
export interface OptionChange {
  /** Path within the spec, in camelCase. */
  readonly path: string;
  readonly value: unknown;
  readonly mask: string;
  readonly also: object;
}

/** What flags change in a spec; entries are added to lists, or replace those of the same key. */
export function optionChanges(
  groups: readonly FlagGroup[],
  values: FlagValues,
  now: ServiceSpec,
): OptionChange[] {
  const cleared = (values['clear'] ?? []) as readonly string[];
  const changed = new Map<string, unknown>();
  const about = new Map<string, OptionFlag>();
  for (const flag of groups.flatMap(([, flags]) => flags)) {
    const { long, key } = optionOf(flag.flags);
    const given = values[key];
    const isCleared = cleared.includes(long.slice(2));
    // What begins with --no- is there unless it is given.
    if (flag.clears === true ? given !== false : given === undefined && !isCleared) continue;
    about.set(flag.path, flag);
    const { path, keyOf, words } = flag;
    if (flag.clears === true) changed.set(path, undefined);
    else if (words !== undefined) changed.set(path, words[String(given)]);
    else if (keyOf === undefined) changed.set(path, given);
    else {
      const before = changed.get(path) ?? valueAt(now, path);
      const entries = (given ?? []) as readonly unknown[];
      changed.set(path, edited(flag, keyOf, isCleared ? [] : before, entries));
    }
  }
  return [...changed].map(([path, value]) => {
    const { mask = path, also = {} } = about.get(path) ?? {};
    return { path, value, mask: maskOf(path, mask, value), also };
  });
}

/** The alternatives of a check have paths of their own. */
function maskOf(path: string, mask: string, value: unknown): string {
  if (!path.endsWith('.check')) return mask;
  return path.replace(/check$/, (value as { readonly $case: string }).$case);
}

/** A list, or a map, with entries added or taken out. */
function edited(
  { removes, isMap }: OptionFlag,
  keyOf: (entry: never) => string,
  before: unknown,
  given: readonly unknown[],
): unknown {
  const entries = Array.isArray(before) ? (before as unknown[]) : Object.entries(before ?? {});
  const byKey = new Map(entries.map((entry) => [keyOf(entry as never), entry]));
  // One flag may stand for several entries; those of a map are pairs.
  for (const entry of isMap === true ? given : given.flat()) {
    if (removes === true) byKey.delete(String(entry));
    else byKey.set(keyOf(entry as never), entry);
  }
  const all = [...byKey.values()];
  return isMap === true ? Object.fromEntries(all as [string, unknown][]) : all;
}

function valueAt(spec: ServiceSpec, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>((value, name) => (value as FlagValues | undefined)?.[name], spec);
}

function optionOf(flags: string): { readonly long: string; readonly key: string } {
  const option = new Option(flags);
  return { long: option.long ?? '', key: option.attributeName() };
}
