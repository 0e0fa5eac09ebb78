/**
 * Makes one file of each agent, for hosts and images that have Node and nothing else.
 *
 *   node deploy/bundle.js [--out DIRECTORY] [--as-version VERSION] [agent] [proxy]
 *
 * Without names both are made, and what the coordinator loads becomes one file in dist/; without a directory they go to dist/. With a version they say that they are that one, to try an upgrade
 * with.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));

/** The programs that are one file each, by name. */
export const programs = {
  agent: {
    entry: 'agent/node/entry.ts',
    file: 'fairlead-agent.cjs',
    names: { minifyIdentifiers: true, keepNames: true },
  },
  proxy: {
    entry: 'agent/proxy/entry.ts',
    file: 'fairlead-proxy.cjs',
    // To give its name to each function that is made takes 3 % of the time of a change.
    names: { minifyIdentifiers: false },
  },
};

/**
 * What the libraries can do and no daemon of ours asks for: Docker over SSH, BuildKit, building images, and
 * reading .proto files while running. It would cost 7 MB of memory at rest, and native code.
 */
const unused = /^(ssh2|@grpc\/proto-loader|protobufjs(\/.*)?|tar-fs|@balena\/dockerignore)$/;

const withoutUnused = {
  name: 'without-unused',
  setup(build) {
    build.onResolve({ filter: unused }, ({ path }) => ({ path, namespace: 'unused' }));
    build.onLoad({ filter: /.*/, namespace: 'unused' }, () => ({
      contents: 'module.exports = {};',
    }));
    // It describes every request for a log that nobody reads: a third of what asking costs.
    build.onResolve({ filter: /^util$/ }, ({ importer }) =>
      importer.endsWith('docker-modem/lib/modem.js')
        ? { path: 'util', namespace: 'speechless' }
        : undefined,
    );
    build.onLoad({ filter: /.*/, namespace: 'speechless' }, () => ({
      contents: "exports.inspect = () => '';",
    }));
    // A copy of Node's own streams, for Nodes much older than ours.
    build.onResolve({ filter: /^readable-stream$/ }, () => ({
      path: 'node:stream',
      external: true,
    }));
  },
};

/** Has the programs say another version. */
function saying(version) {
  return {
    name: 'saying-version',
    setup(build) {
      build.onLoad({ filter: /\/agent\/(node|proxy)\/version\.ts$/ }, ({ path }) => ({
        contents: readFileSync(path, 'utf8').replace(/'[^']+'/, JSON.stringify(version)),
        loader: 'ts',
      }));
    },
  };
}

/** Bundles the named programs into a directory; with a version, they say that they are that one. */
export async function bundle(names, directory, version) {
  await Promise.all(
    names.map((name) =>
      build({
        absWorkingDir: root,
        entryPoints: [programs[name].entry],
        outfile: join(directory, programs[name].file),
        bundle: true,
        platform: 'node',
        target: 'node20',
        format: 'cjs',
        // The source is kept in memory while it runs; names of functions stay for readable traces.
        minifySyntax: true,
        minifyWhitespace: true,
        ...programs[name].names,
        legalComments: 'none',
        external: ['*.node'],
        plugins: [withoutUnused, ...(version === undefined ? [] : [saying(version)])],
        logLevel: 'warning',
      }),
    ),
  );
}

/**
 * Makes one file of all that the coordinator loads: a thousand modules, each looked for and compiled for itself, would
 * be most of the time that it takes to start. It is a function for `coordinator/program.ts`, which keeps what V8
 * compiled of it from one run to the next, as long as its first line is the same.
 */
async function bundleCoordinator() {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: ['coordinator/main.ts'],
    write: false,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'none',
    // Two bytes a character, else, for all of it.
    charset: 'ascii',
    external: ['*.node'],
    define: { 'import.meta.url': 'moduleUrl' },
    banner: { js: '(function (module, require, moduleUrl) {' },
    footer: { js: '})' },
    plugins: [
      withoutUnused,
      {
        name: 'sqlite',
        setup(context) {
          // It looks for its native part in a dozen places.
          context.onResolve({ filter: /^bindings$/ }, () => ({ path: 'x', namespace: 'sqlite' }));
          context.onLoad({ filter: /.*/, namespace: 'sqlite' }, () => ({
            contents:
              "module.exports = () => require('better-sqlite3/build/Release/better_sqlite3.node');",
          }));
        },
      },
      {
        name: 'one-error',
        setup(context) {
          // Whoever runs the coordinator knows its errors by their class.
          context.onResolve({ filter: /\/errors\.ts$/ }, ({ path, resolveDir }) =>
            join(resolveDir, path) === join(root, 'shared/errors.ts')
              ? { path: '../shared/errors.js', external: true }
              : undefined,
          );
        },
      },
    ],
    logLevel: 'warning',
  });
  const { text } = outputFiles[0];
  const digest = createHash('sha256').update(text).digest('hex');
  writeFileSync(join(root, 'dist/coordinator/program.cjs'), `// ${digest}\n${text}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      out: { type: 'string', default: join(root, 'dist') },
      'as-version': { type: 'string' },
    },
  });
  const names = positionals.length > 0 ? positionals : Object.keys(programs);
  const unknown = names.filter((name) => !Object.hasOwn(programs, name));
  if (unknown.length > 0) {
    throw new Error(
      `there is no ${unknown.join(', ')}; there are ${Object.keys(programs).join(', ')}`,
    );
  }
  await bundle(names, values.out, values['as-version']);
  if (positionals.length === 0) await bundleCoordinator();
}
