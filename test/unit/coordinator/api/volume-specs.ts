import fc from 'fast-check';
import type { Volume } from '../../../../shared/gen/fairlead/v1/service.ts';

const sources = fc.constantFrom<Volume['source']>(
  undefined,
  { $case: 'named', value: { name: 'data-{{.Slot}}', external: false } },
  { $case: 'named', value: { name: 'shared', external: true } },
  { $case: 'bind', value: { path: '/srv/data' } },
  { $case: 'tmpfs', value: { sizeBytes: 4096, mode: 0o1777 } },
);
const someNumbers = (...values: number[]) => fc.constantFrom(...values);

/** Volumes and what placement asks of nodes, that break no rule. */
export const validVolumes = {
  volumes: fc.uniqueArray(
    fc.record({
      containerPath: fc.constantFrom('/data', '/srv/x', '/run'),
      source: sources,
      readOnly: fc.boolean(),
    }),
    { maxLength: 3, selector: ({ containerPath }) => containerPath },
  ),
  volumesFrom: fc.constantFrom<string[]>([], ['db'], ['db', 'files']),
  reservation: fc.option(
    fc.record({ cpuMillis: someNumbers(0, 500), memoryBytes: someNumbers(0, 2 ** 30) }),
    { nil: undefined },
  ),
  maxPerNode: someNumbers(0, 1, 1000),
  spreadOver: fc.constantFrom<string[]>([], ['zone'], ['zone', 'rack']),
  platforms: fc.constantFrom<string[]>([], ['linux/amd64', 'linux/arm64']),
};

const anyText = fc.string({ unit: 'binary', maxLength: 20 });
const anyNumber = fc.oneof(fc.integer(), fc.double());

/** The same with whatever in the fields. */
export const anyVolumes = {
  volumes: fc.array(
    fc.record({
      containerPath: anyText,
      source: fc.oneof(
        sources,
        fc
          .record({ name: anyText, external: fc.boolean() })
          .map((value) => ({ $case: 'named' as const, value })),
        fc.record({ path: anyText }).map((value) => ({ $case: 'bind' as const, value })),
        fc
          .record({ sizeBytes: anyNumber, mode: anyNumber })
          .map((value) => ({ $case: 'tmpfs' as const, value })),
      ),
      readOnly: fc.boolean(),
    }),
    { maxLength: 3 },
  ),
  volumesFrom: fc.array(anyText, { maxLength: 3 }),
  reservation: fc.option(fc.record({ cpuMillis: anyNumber, memoryBytes: anyNumber }), {
    nil: undefined,
  }),
  maxPerNode: anyNumber,
  spreadOver: fc.array(anyText, { maxLength: 3 }),
  platforms: fc.array(anyText, { maxLength: 3 }),
};
