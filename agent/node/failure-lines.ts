import type { LogLine } from './docker/log-lines.ts';

/** Of what a container wrote last, this much is told. */
const maxLines = 8;
const maxCharacters = 240;
/** Shorter values are found in lines that have nothing to do with them. */
const shortestSecret = 6;
/** What an address has between its user and its host. */
const passwordInUrl = /^[a-z][a-z0-9+.-]*:\/\/[^:@/\s]*:([^@/\s]+)@/i;
/** What a terminal would act on. */
const control = /\u001b\[[0-9;?]*[ -/]*[@-~]|[\u0000-\u001f\u007f-\u009f]/g;

/**
 * The last lines of a log as people are shown them: few, short, and with no value of the environment, which
 * often is a secret. Instead of it stands the name of its variable.
 */
export function failureLines(
  lines: readonly LogLine[],
  environment: Readonly<Record<string, string>>,
): string[] {
  const secrets = secretsOf(environment);
  return joined(lines)
    .slice(-maxLines)
    .map((line) => shortened(masked(line, secrets).replace(control, ' ').trimEnd()));
}

type Secret = readonly [value: string, name: string];

/** The longest first: one may hold another. */
function secretsOf(environment: Readonly<Record<string, string>>): Secret[] {
  return Object.entries(environment)
    .flatMap(([name, value]) => partsOf(value).map((part): Secret => [part, name]))
    .filter(([value]) => value.length >= shortestSecret)
    .sort(([a], [b]) => b.length - a.length);
}

/** A value, each of its lines, and the password in an address: programs write all of them. */
function partsOf(value: string): string[] {
  const password = passwordInUrl.exec(value)?.[1];
  return [value, ...value.split('\n'), ...(password === undefined ? [] : [password])].map((part) =>
    part.trim(),
  );
}

function masked(line: string, secrets: readonly Secret[]): string {
  return secrets.reduce((text, [value, name]) => text.replaceAll(value, `[${name}]`), line);
}

function shortened(line: string): string {
  if (line.length <= maxCharacters) return line;
  // Not in the middle of a character that takes two.
  const isSplit = /[\ud800-\udbff]/.test(line.charAt(maxCharacters - 1));
  return `${line.slice(0, maxCharacters - (isSplit ? 1 : 0))}…`;
}

/** Lines that an engine broke are whole again: a secret could lie across the break. */
function joined(lines: readonly LogLine[]): string[] {
  const open = new Map<LogLine['stream'], string>();
  const whole: string[] = [];
  for (const { stream, data, continued } of lines) {
    const text = (open.get(stream) ?? '') + data.toString('utf8');
    open.set(stream, continued ? text : '');
    if (!continued && text !== '') whole.push(text);
  }
  const rest = [...open.values()].filter((text) => text !== '');
  return [...whole, ...rest];
}
