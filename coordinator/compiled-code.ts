import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What V8 has compiled of the program that runs, in a file from one run to the next. */
export interface CompiledCode {
  readonly path: string;
  /** Of which program it is. */
  readonly key: string;
  /** Whether this run began with what an earlier one compiled. */
  readonly reused: boolean;
  /** What is compiled by now. */
  readonly take: () => Buffer;
}

/** The file in a state directory: in a directory of its own, which no backup holds and no restore writes to. */
export function compiledCodeFile(stateDir: string): string {
  return join(stateDir, 'cache', 'compiled-code');
}

/** The two parts of the file. V8 itself looks at little more than lengths, and crashes on what is damaged. */
export function seal(key: string, code: Buffer): readonly [digest: Buffer, code: Buffer] {
  const { version, arch } = process;
  const hash = createHash('sha256').update(`${key} ${version} ${arch}\n`);
  return [hash.update(code).digest(), code];
}

const digestBytes = 32;
const writableByOthers = 0o022;

/**
 * Reads what was compiled of a program by this version of Node. Undefined if it is not there, or not whole, or
 * could be somebody else's: it is run by whoever starts the coordinator, which is root at times.
 */
export function readCompiledCode(path: string, key: string): Buffer | undefined {
  try {
    const content = readOwnFile(path);
    const code = content.subarray(digestBytes);
    const [digest] = seal(key, code);
    return digest.equals(content.subarray(0, digestBytes)) ? code : undefined;
  } catch {
    return undefined;
  }
}

function readOwnFile(path: string): Buffer {
  const file = openSync(path, 'r');
  try {
    const { uid, mode } = fstatSync(file);
    if (uid !== process.geteuid?.() || (mode & writableByOthers) !== 0) {
      throw new Error(`${path} is not the file of this user alone`);
    }
    return readFileSync(file);
  } finally {
    closeSync(file);
  }
}
