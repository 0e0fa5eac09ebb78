import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { baseImageFiles, fingerprint, importBaseImage } from './base-image.ts';
import { docker } from './docker.ts';

export interface ImagesOptions {
  /** Tag of the page that says which container answered; not built if left out. */
  readonly hello?: string;
  /** Tag of the load balancer's image, and the bundled proxy agent to put into it. */
  readonly proxy?: { readonly tag: string; readonly bundlePath: string };
}

/** The images of one call, and a key that differs when anything they are made of does. */
export interface ImageSet {
  readonly key: string;
  /** Stands in for `node:20-bookworm-slim`: Node, HAProxy and busybox of this machine. */
  readonly base: string;
  readonly baseFiles: Awaited<ReturnType<typeof baseImageFiles>>;
  readonly builds: readonly ImageBuild[];
}

interface ImageBuild {
  readonly tag: string;
  readonly dockerfile: string;
  /** What the build's context holds: names in it, and where they are copied from. */
  readonly files: Readonly<Record<string, string>>;
}

const keyLabel = 'fairlead.lab.images';
const helloDirectory = new URL('../../images/hello/', import.meta.url).pathname;
const deployDirectory = new URL('../../../deploy/', import.meta.url).pathname;
const baseRecipe = new URL('base-image.ts', import.meta.url);

/** Reads everything that the images are made of. */
export async function describeImages(
  options: ImagesOptions,
  signal: AbortSignal,
): Promise<ImageSet> {
  const baseFiles = await baseImageFiles(signal);
  const baseKey = hash([fingerprint(baseFiles), readFileSync(baseRecipe)]);
  const builds = listBuilds(options);
  const contents = builds.flatMap(({ tag, dockerfile, files }) => [
    tag,
    ...[dockerfile, ...Object.values(files)].map((path) => readFileSync(path)),
  ]);
  return {
    key: hash([baseKey, ...contents]),
    base: `fairlead-lab/base:${baseKey}`,
    baseFiles,
    builds,
  };
}

/** Builds what the engine has not got yet; the work directory is the caller's to remove. */
export async function buildOn(
  engine: string,
  set: ImageSet,
  workDirectory: string,
  signal: AbortSignal,
): Promise<void> {
  if (await hasImages(engine, set, signal)) return;
  if ((await inspect(engine, set.base, '{{.Id}}', signal)) === undefined) {
    const base = { tag: set.base, files: set.baseFiles, workDirectory };
    await importBaseImage(engine, base, signal);
  }
  for (const [index, { tag, dockerfile, files }] of set.builds.entries()) {
    const context = join(workDirectory, `context-${index}`);
    mkdirSync(context);
    copyFileSync(dockerfile, join(context, 'Dockerfile'));
    for (const [name, path] of Object.entries(files)) copyFileSync(path, join(context, name));
    const args = ['--build-arg', `BASE=${set.base}`, '--label', `${keyLabel}=${set.key}`];
    await docker(engine, ['build', '--quiet', ...args, '--tag', tag, context], {}, signal);
  }
}

/** Whether an engine has every image of the set, built of the very same things. */
export async function hasImages(
  engine: string,
  set: ImageSet,
  signal: AbortSignal,
): Promise<boolean> {
  if ((await inspect(engine, set.base, '{{.Id}}', signal)) === undefined) return false;
  for (const { tag } of set.builds) {
    const format = `{{index .Config.Labels "${keyLabel}"}}`;
    if ((await inspect(engine, tag, format, signal)) !== set.key) return false;
  }
  return true;
}

function listBuilds({ hello, proxy }: ImagesOptions): ImageBuild[] {
  const builds: ImageBuild[] = [];
  if (hello !== undefined) {
    builds.push({
      tag: hello,
      dockerfile: join(helloDirectory, 'Dockerfile'),
      files: { 'hello.mjs': join(helloDirectory, 'hello.mjs') },
    });
  }
  if (proxy !== undefined) {
    builds.push({
      tag: proxy.tag,
      dockerfile: join(deployDirectory, 'proxy.Dockerfile'),
      files: {
        'proxy-entrypoint.sh': join(deployDirectory, 'proxy-entrypoint.sh'),
        'fairlead-proxy.cjs': proxy.bundlePath,
      },
    });
  }
  return builds;
}

/** One fact of an image; undefined if the engine has no such image. */
async function inspect(
  engine: string,
  tag: string,
  format: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const listed = await docker(engine, ['image', 'ls', '--quiet', tag], {}, signal);
  if (listed === '') return undefined;
  return await docker(engine, ['image', 'inspect', '--format', format, tag], {}, signal);
}

function hash(parts: readonly (string | Buffer)[]): string {
  const digest = createHash('sha256');
  for (const part of parts) digest.update(`${part.length}:`).update(part);
  return digest.digest('hex').slice(0, 16);
}
