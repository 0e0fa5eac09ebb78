import { InvalidArgumentError } from 'commander';
import type { Volume } from '../../shared/gen/fairlead/v1/service.ts';
import { readBytes, readCpus } from './container-values.ts';
import type { FlagGroup } from './option-flags.ts';
import { readCount } from './values.ts';

const itself = (entry: string) => entry;

// The numbers are those that ts-proto generates; the generated code itself is not loaded for help.
const autodestroys = { no: 10, 'on-success': 20, always: 30 };

const pathOf = ({ containerPath }: Volume) => containerPath;

/** Flags for volumes, and for what a container asks of its node. */
export const placementFlags: readonly FlagGroup[] = [
  [
    'Volumes:',
    [
      {
        ...{ flags: '-v, --volume <[name|path:]path[:ro]>', path: 'volumes', read: readVolume },
        ...{ description: 'volume, or path of the node, repeatable', keyOf: pathOf },
      },
      {
        ...{ flags: '--tmpfs <path[:size=64m,mode=1777,ro]>', path: 'volumes', read: readTmpfs },
        ...{ description: 'memory as a file system, repeatable', keyOf: pathOf },
      },
      {
        ...{ flags: '--volume-rm <path>', path: 'volumes', removes: true, keyOf: pathOf },
        ...{ description: 'take out what is at a path' },
      },
      {
        ...{ flags: '--volumes-from <service>', path: 'volumesFrom', keyOf: itself },
        ...{ description: 'volumes of another service, repeatable' },
      },
    ],
  ],
  [
    'Order:',
    [
      { flags: '--sequential', description: 'start one after the other', path: 'sequential' },
      {
        ...{ flags: '--autodestroy <when>', path: 'autodestroy', words: autodestroys },
        description: 'remove the service when all its containers have ended by themselves',
      },
    ],
  ],
  [
    'Canaries:',
    [
      {
        ...{ flags: '--canary <n>', path: 'update.canary', read: readCount },
        ...{ description: 'containers that try an update until it is promoted' },
      },
      {
        ...{ flags: '--auto-promote', path: 'update.autoPromote' },
        ...{ description: 'promote an update when its canaries have served for --settle' },
      },
    ],
  ],
  [
    'Asked of a node:',
    [
      {
        ...{ flags: '--reserve-cpu <n>', description: 'processors that must be free' },
        ...{ path: 'reservation.cpuMillis', read: readCpus },
      },
      {
        ...{ flags: '--reserve-memory <size>', description: 'memory that must be free' },
        ...{ path: 'reservation.memoryBytes', read: readBytes },
      },
      {
        ...{ flags: '--replicas-max-per-node <n>', description: 'containers on one node at most' },
        ...{ path: 'maxPerNode', read: readCount },
      },
      {
        ...{ flags: '--spread-over <key>', path: 'spreadOver', keyOf: itself },
        ...{ description: 'even over the values of a tag, like zone, repeatable' },
      },
      {
        ...{ flags: '--platform <os/architecture>', path: 'platforms', keyOf: itself },
        ...{ description: 'platform that the image is for, repeatable' },
      },
    ],
  ],
];

/** `data:/data`, `/srv:/data:ro`, `/data`, `data:/data:external`. */
export function readVolume(text: string): Volume {
  const parts = text.split(':');
  const [first = '', second = '', options = '', ...rest] = parts;
  const words = options.split(',').filter((word) => word !== '');
  const unknown = words.find((word) => !['ro', 'rw', 'external'].includes(word));
  const path = parts.length === 1 ? first : second;
  if (rest.length > 0 || unknown !== undefined || !path.startsWith('/')) {
    throw new InvalidArgumentError(
      'A volume is PATH, NAME:PATH or NODE-PATH:PATH, then :ro, :external or :ro,external.',
    );
  }
  const named = { name: first, external: words.includes('external') };
  const source: Volume['source'] = first.startsWith('/')
    ? { $case: 'bind', value: { path: first } }
    : { $case: 'named', value: named };
  return {
    containerPath: path,
    source: parts.length === 1 ? undefined : source,
    readOnly: words.includes('ro'),
  };
}

/** `/run` or `/run:size=64m,mode=1777,ro`. */
export function readTmpfs(text: string): Volume {
  const [containerPath = '', options = '', ...rest] = text.split(':');
  const words = options.split(',').filter((word) => word !== '');
  const settings = new Map(
    words.map((word) => {
      const [name = '', value = ''] = word.split('=');
      return [name, value];
    }),
  );
  const mode = settings.get('mode') ?? '0';
  const isKnown = [...settings.keys()].every((name) => ['size', 'mode', 'ro', 'rw'].includes(name));
  if (rest.length > 0 || !isKnown || !/^[0-7]+$/.test(mode)) {
    throw new InvalidArgumentError('A tmpfs is PATH[:size=64m,mode=1777,ro].');
  }
  const sizeBytes = readBytes(settings.get('size') ?? '0');
  return {
    containerPath,
    source: { $case: 'tmpfs', value: { sizeBytes, mode: Number.parseInt(mode, 8) } },
    readOnly: settings.has('ro'),
  };
}
