/**
 * Makes one file of each agent, for hosts and images that have Node and nothing else.
 *
 *   node deploy/bundle.js [--out DIRECTORY] [agent] [proxy]
 *
 * Without names both are made; without a directory they go to dist/.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));

const programs = {
  agent: { entry: 'agent/node/entry.ts', file: 'fairlead-agent.cjs' },
  proxy: { entry: 'agent/proxy/entry.ts', file: 'fairlead-proxy.cjs' },
};

/** Docker over SSH: never used, and its client costs 7 MB of memory and native code. */
const withoutSsh = {
  name: 'without-ssh',
  setup(build) {
    build.onResolve({ filter: /^ssh2$/ }, ({ path }) => ({ path, namespace: 'absent' }));
    build.onLoad({ filter: /.*/, namespace: 'absent' }, () => ({
      contents: 'module.exports = {};',
    }));
  },
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { out: { type: 'string', default: join(root, 'dist') } },
});
const names = positionals.length > 0 ? positionals : Object.keys(programs);
const unknown = names.filter((name) => !Object.hasOwn(programs, name));
if (unknown.length > 0) {
  throw new Error(
    `there is no ${unknown.join(', ')}; there are ${Object.keys(programs).join(', ')}`,
  );
}

await Promise.all(
  names.map((name) =>
    build({
      absWorkingDir: root,
      entryPoints: [programs[name].entry],
      outfile: join(values.out, programs[name].file),
      bundle: true,
      platform: 'node',
      target: 'node20',
      format: 'cjs',
      // The source is kept in memory while it runs; function names stay for readable traces.
      minify: true,
      keepNames: true,
      legalComments: 'none',
      external: ['*.node'],
      plugins: [withoutSsh],
      logLevel: 'warning',
    }),
  ),
);
