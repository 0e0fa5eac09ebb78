import { readFileSync } from 'node:fs';
import type * as z from 'zod/mini';
import { DomainError, messageOf, type FieldViolation } from './errors.ts';

/** Where the values of a configuration come from; a flag wins over a variable. */
export interface ConfigSources {
  /** Values by camelCase name, as commander gives them; undefined where not given. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * Reads a typed configuration: for each key `stateDir` of the schema, the flag `--state-dir`, else
 * `FAIRLEAD_STATE_DIR`, else the content of the file that `FAIRLEAD_STATE_DIR_FILE` names, without its
 * last line break. Throws one error that lists all mistakes.
 */
export function readConfig<Shape extends z.core.$ZodShape>(
  schema: z.ZodMiniObject<Shape>,
  sources: ConfigSources,
): Readonly<z.infer<z.ZodMiniObject<Shape>>> {
  const violations: FieldViolation[] = [];
  const values: Record<string, unknown> = {};
  for (const key of Object.keys(schema.shape)) {
    try {
      const given = givenValue(key, sources);
      if (given !== undefined) values[key] = given;
    } catch (error) {
      violations.push({
        field: `${variableOf(key)}_FILE`,
        rule: `cannot be read: ${messageOf(error)}`,
      });
    }
  }
  const parsed = schema.safeParse(values);
  if (!parsed.success) {
    violations.push(
      ...parsed.error.issues.map((issue) => ({
        field: `--${kebab(String(issue.path[0] ?? ''))} or ${variableOf(String(issue.path[0] ?? ''))}`,
        rule: issue.message,
      })),
    );
  }
  if (!parsed.success || violations.length > 0) {
    throw new DomainError(
      'invalid',
      `the configuration is wrong:\n${violations.map(({ field, rule }) => `  ${field}: ${rule}`).join('\n')}`,
      { reason: 'CONFIGURATION_INVALID', violations },
    );
  }
  return Object.freeze(parsed.data);
}

/** What is given for one key, not looked at yet; undefined if nothing is. Throws if its file cannot be read. */
export function givenValue(key: string, { flags, env }: ConfigSources): unknown {
  const variable = variableOf(key);
  const given = flags[key] ?? env[variable];
  if (given !== undefined && given !== '') return given;
  const file = env[`${variable}_FILE`];
  return file === undefined ? undefined : readFileSync(file, 'utf8').replace(/\r?\n$/, '');
}

function variableOf(key: string): string {
  return `FAIRLEAD_${kebab(key).replaceAll('-', '_').toUpperCase()}`;
}

function kebab(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
