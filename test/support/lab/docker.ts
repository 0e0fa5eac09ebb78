import { run, type CommandOptions } from './command.ts';

/** Runs the docker command against the engine at this socket, untouched by the user's settings. */
export async function docker(
  socket: string,
  args: readonly string[],
  options: CommandOptions,
  signal: AbortSignal,
): Promise<string> {
  const env = {
    DOCKER_API_VERSION: '',
    // Building without BuildKit needs no plugin and no container of its own.
    DOCKER_BUILDKIT: '0',
    DOCKER_CONFIG: '/nonexistent',
    DOCKER_TLS_VERIFY: '',
    ...options.env,
  };
  const output = await run(
    'docker',
    ['--host', `unix://${socket}`, ...args],
    { ...options, env },
    signal,
  );
  return output.trimEnd();
}
