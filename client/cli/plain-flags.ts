/**
 * Reads `--state-dir DIR --log-level=debug` as commander does; undefined if that is to look at them itself: there is
 * something among them that has no such name, or no plain value.
 */
export function plainFlags(
  args: readonly string[],
  names: readonly string[],
): Readonly<Record<string, string>> | undefined {
  const flags: Record<string, string> = {};
  for (let index = 0; index < args.length; index++) {
    const { name = '', value = args[++index] } =
      /^--(?<name>[a-z-]+)(?:=(?<value>.*))?$/s.exec(args[index] ?? '')?.groups ?? {};
    const key = name.replaceAll(/-[a-z]/g, (part) => part.slice(1).toUpperCase());
    if (!names.includes(key) || value === undefined || value.startsWith('-')) return undefined;
    flags[key] = value;
  }
  return flags;
}
