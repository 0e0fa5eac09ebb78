import { readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { Script } from 'node:vm';
import type { ConfigSources } from '../shared/config.ts';
import * as errors from '../shared/errors.ts';
import { compiledCodeFile, readCompiledCode, type CompiledCode } from './compiled-code.ts';
import type { run } from './main.ts';
import { stateDirectoryOf } from './state-directory.ts';

/** What `deploy/bundle.js` makes of the program. */
type Evaluate = (
  module: { exports: { readonly run: typeof run } | undefined },
  require: (name: string) => unknown,
  moduleUrl: string,
) => void;

/** All that the coordinator loads when it starts. */
export interface Program {
  /** Runs its modules. */
  readonly evaluate: () => typeof run;
  /** Undefined if there is no telling where it could be kept. */
  readonly code: CompiledCode | undefined;
}

/**
 * Reads the program that a build has beside this file, with what an earlier run has compiled of it; undefined if it
 * runs from the sources.
 *
 * V8 takes that code only with the flags that were set when it was taken, so none is set before.
 */
export function readProgram(sources: ConfigSources): Program | undefined {
  const filename = fileURLToPath(new URL('program.cjs', import.meta.url));
  const source = readIfThere(filename);
  if (source === undefined) return undefined;
  const stateDir = stateDirectoryOf(sources);
  const path = stateDir && compiledCodeFile(stateDir);
  const key = keyOf(source, filename);
  const cachedData = path === undefined ? undefined : readCompiledCode(path, key);
  const script = new Script(source, { filename, ...(cachedData && { cachedData }) });
  return {
    evaluate: () => evaluate(script),
    code:
      path === undefined
        ? undefined
        : {
            ...{ path, key },
            reused: script.cachedDataRejected === false,
            take: () => script.createCachedData(),
          },
  };
}

function readIfThere(filename: string): string | undefined {
  try {
    // It is ASCII: its length in memory is that on disk.
    return readFileSync(filename, 'latin1');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Its first line is a digest of the rest; but somebody may have changed it by hand since. */
function keyOf(source: string, filename: string): string {
  return `${source.slice(0, source.indexOf('\n'))} ${statSync(filename).mtimeMs}`;
}

function evaluate(script: Script): typeof run {
  const evaluateIn = script.runInThisContext() as Evaluate;
  const module: Parameters<Evaluate>[0] = { exports: undefined };
  const require = createRequire(import.meta.url);
  // Whoever runs the coordinator knows its errors by their class.
  const requireOf = (name: string) =>
    name === '../shared/errors.js' ? errors : (require(name) as unknown);
  evaluateIn(module, requireOf, import.meta.url);
  if (module.exports === undefined) throw new Error(`nothing is exported`);
  return module.exports.run;
}
