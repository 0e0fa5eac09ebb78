import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DomainError } from '../../../shared/errors.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** What a user has after installing: the command line, and one file for each agent. */
export const programs = {
  cli: join(root, 'dist/client/cli/main.js'),
  agent: join(root, 'dist/fairlead-agent.cjs'),
  proxy: join(root, 'dist/fairlead-proxy.cjs'),
};

/** Throws if the build is missing: fleets run what is shipped, never the sources. */
export function requireBuild(): void {
  const missing = Object.values(programs).filter((path) => !existsSync(path));
  if (missing.length === 0) return;
  throw new DomainError(
    'precondition',
    `${missing.join(', ')} missing: run 'npm run build' first`,
    {
      reason: 'BUILD_MISSING',
    },
  );
}
