/**
 * One word of a HAProxy configuration, whatever it holds: the only place where text that somebody typed gets
 * into one. Within strong quotes HAProxy reads nothing but the quote itself as anything else than text.
 */
export function word(text: string): string {
  if (/\p{Cc}/u.test(text))
    throw new RangeError('a word of a configuration has no control characters');
  return /^[A-Za-z0-9_.:/,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** As `word`, for what HAProxy reads as a log format: `%` begins a variable there. */
export function formatWord(text: string): string {
  return word(text.replaceAll('%', '%%'));
}

/** A section: its head, and its lines. */
export function section(head: string, body: readonly string[]): string {
  return [head, ...body.map((line) => `  ${line}`), ''].join('\n');
}
