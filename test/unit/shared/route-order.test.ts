import { expect, test } from 'vitest';
import { conflictOf } from '../../../shared/route-order.ts';
import type { Route } from '../../../shared/routing.ts';
import { aRoute } from '../../support/routes.ts';

type Changes = Partial<Route>;
const header = (value: string) => ({ name: 'X', kind: 'exact', value }) as const;

test.each<[string, Changes, Changes]>([
  ['the same host', { hosts: ['a', 'b'] }, { hosts: ['b', 'c'] }],
  ['anything', {}, {}],
  ['the same path', { paths: ['/a/*'] }, { paths: ['/b', '/a/*'] }],
  [
    'a path that is written in two ways',
    { paths: ['/caf%C3%A9/*'] },
    { paths: ['/%63af%c3%a9/*'] },
  ],
  ['one port, of which one takes every port', { port: 80 }, { port: 0 }],
  ['the same number of conditions', { methods: ['GET'] }, { headers: [header('a')] }],
  ['one port as bytes', { kind: 'tcp', port: 1 }, { kind: 'tcp', port: 1 }],
  ['one port in two ways', { kind: 'tcp', port: 1, priority: 1 }, { port: 1 }],
])('two routes with %s need a priority', (_, a, b) => {
  expect(conflictOf(aRoute(a), aRoute(b))).toBeDefined();
  expect(conflictOf(aRoute(b), aRoute(a))).toBeDefined();
});

test.each<[string, Changes, Changes]>([
  ['a priority', { priority: 1 }, {}],
  ['hosts', { hosts: ['a'] }, { hosts: ['*.a'] }],
  ['paths', { paths: ['/a'] }, { paths: ['/a/*'] }],
  ['methods', { methods: ['GET'] }, { methods: ['POST'] }],
  ['values of a header', { headers: [header('a')] }, { headers: [header('b')] }],
  ['a condition more', { methods: ['GET'] }, {}],
  ['ports', { port: 80 }, { port: 81 }],
  ['a port as bytes and the others', { kind: 'tcp', port: 1 }, {}],
])('two routes are told apart by %s', (_, a, b) => {
  expect(conflictOf(aRoute(a), aRoute(b))).toBeUndefined();
  expect(conflictOf(aRoute(b), aRoute(a))).toBeUndefined();
});
