import { expect, test } from 'vitest';
import { parseFlags } from '../../../shared/daemon.ts';

const names = { coordinator: 'one', stateDir: 'one', tag: 'many' } as const;

test('reads flags by their camelCase names, once or often, and leaves out what is not given', () => {
  expect(parseFlags(['--state-dir', '/tmp', '--tag=a', '--tag', 'b'], names)).toEqual({
    stateDir: '/tmp',
    tag: ['a', 'b'],
  });
  expect(parseFlags([], names)).toEqual({});
});

test.each([[['--unknown', 'x']], [['--state-dir']], [['word']]])('refuses %j', (args) => {
  expect(() => parseFlags(args, names)).toThrow(
    expect.objectContaining({ kind: 'invalid', reason: 'FLAG_INVALID' }) as Error,
  );
});
