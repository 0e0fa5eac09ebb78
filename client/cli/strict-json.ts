/** How messages are read from JSON, and written. */
interface JsonForm<T> {
  fromJSON(json: unknown): T;
  toJSON(message: T): unknown;
}

/**
 * Reads a message of the contract, and refuses what the generated reader would make something else of: a field that
 * there is not, or a value of another type, is left out by it, and with it what somebody is to be kept out by.
 */
export function readStrictly<T>(form: JsonForm<T>, json: unknown): T {
  const message = form.fromJSON(json ?? {});
  const strange = strangeIn(json, form.toJSON(message), '');
  if (strange !== undefined) throw new Error(strange);
  return message;
}

/** What of the given JSON is not in what was read of it; undefined: nothing. */
function strangeIn(given: unknown, read: unknown, at: string): string | undefined {
  if (Array.isArray(given) && Array.isArray(read)) {
    return firstOf(given.map((each, index) => [each, read[index], `${at}[${index}]`]));
  }
  if (isObject(given) && isObject(read)) {
    const parts = Object.entries(given).filter(([, value]) => value !== null && !isDefault(value));
    return firstOf(
      parts.map(([key, value]) => [value, read[camelCase(key)], at === '' ? key : `${at}.${key}`]),
    );
  }
  // Numbers may stand for words of a list, and for texts.
  if (given === read || (typeof given === 'number' && typeof read === 'string')) return undefined;
  const where = at === '' ? 'a route' : at;
  return read === undefined
    ? `${where} is not known, or is of another type`
    : `${where} is of another type`;
}

function firstOf(parts: readonly (readonly [unknown, unknown, string])[]): string | undefined {
  for (const part of parts) {
    const strange = strangeIn(...part);
    if (strange !== undefined) return strange;
  }
  return undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What is as if it were not there, and is not written: of whatever type. */
function isDefault(value: unknown): boolean {
  if (typeof value === 'string' && value.endsWith('_UNSPECIFIED')) return true;
  return (
    value === 0 || value === '' || value === false || (Array.isArray(value) && value.length === 0)
  );
}

function camelCase(name: string): string {
  return name.replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
