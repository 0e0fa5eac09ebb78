/** What this agent is, in terms of what coordinators serve. */
export interface Program {
  /** The file of the packages; null: it was put here by other means. */
  readonly package: string | null;
  /** The file as it is run. */
  readonly file: string;
  /** What runs it; null: it is an executable itself. */
  readonly interpreter: string | null;
  /** Directory that it lies in, without the path: for a version that was fetched, its name. */
  readonly directory: string;
}

const bundle = 'fairlead-agent.cjs';
const executable = 'fairlead-agent';
/** Debian's words, which the names of packages have. */
const architectures: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/** Finds out what runs from the paths of Node (or what it is inside) and of the script. */
export function programOf(execPath: string, scriptPath: string, arch: string): Program {
  if (basename(execPath) === executable) {
    const name = `${executable}-linux-${architectures[arch] ?? arch}.gz`;
    return { package: name, file: executable, interpreter: null, directory: parentOf(execPath) };
  }
  const file = basename(scriptPath);
  const directory = parentOf(scriptPath);
  return { package: file === bundle ? file : null, file, interpreter: execPath, directory };
}

function basename(path: string): string {
  return path.split('/').at(-1) ?? '';
}

function parentOf(path: string): string {
  return path.split('/').at(-2) ?? '';
}
