import { expect, test } from 'vitest';
import { describe as describeValue } from '../../../client/cli/describe.ts';
import { containerKind, serviceKind } from '../../../client/cli/kinds.ts';
import { Output } from '../../../client/cli/output.ts';
import { age, renderTable } from '../../../client/cli/table.ts';
import { Container, ContainerPhase } from '../../../shared/gen/fairlead/v1/container.ts';
import { Service, ServiceState } from '../../../shared/gen/fairlead/v1/service.ts';

const nowMs = 1_700_000_000_000;

function sink(isTTY: boolean) {
  const written: string[] = [];
  return { isTTY, write: (text: string) => written.push(text), text: () => written.join('') };
}

function outputTo(
  isTTY: boolean,
  options: { readonly json?: boolean; readonly colours?: boolean } = {},
) {
  const stdout = sink(isTTY);
  const stderr = sink(isTTY);
  const { json = false, colours = true } = options;
  return {
    output: new Output({ stdout, stderr, json, colours, now: () => nowMs }),
    stdout,
    stderr,
  };
}

const web = Service.fromPartial({
  name: 'web',
  spec: { image: 'registry/web:1', replicas: 8 },
  state: ServiceState.RUNNING,
  started: true,
  readyContainers: 8,
  revision: 2,
  createdAt: new Date(nowMs - 300_000),
});

test('a table has colours on a terminal alone, and only where they are wanted', () => {
  const terminal = outputTo(true);
  terminal.output.one(serviceKind, web);
  expect(terminal.stdout.text()).toContain('\u001b[32mrunning\u001b[0m');
  for (const { output, stdout } of [outputTo(false), outputTo(true, { colours: false })]) {
    output.one(serviceKind, web);
    expect(stdout.text()).toBe(
      'NAME  STATE    READY  IMAGE           REVISION  AGE\n' +
        'web   running  8/8    registry/web:1  2         5m\n',
    );
  }
});

test('JSON is the same on a terminal, without colours', () => {
  const { output, stdout } = outputTo(true, { json: true });
  output.list(serviceKind, [web]);
  expect(JSON.parse(stdout.text())).toMatchObject([{ state: 'SERVICE_STATE_RUNNING' }]);
});

test('columns that nobody fills are left out, and control characters too', () => {
  const lines = renderTable(
    containerKind.columns,
    [
      Container.fromPartial({ id: 'a'.repeat(32), name: 'web-1', phase: ContainerPhase.RUNNING }),
      Container.fromPartial({
        id: 'b'.repeat(32),
        name: 'web-2',
        phase: ContainerPhase.FAILED,
        exitCode: 137,
        message: 'killed\u001b[2J\nby the kernel',
      }),
    ],
    { nowMs, colours: false },
  );
  expect(lines[0]).not.toContain('PORTS');
  expect(lines[1]).toContain('running, not ready');
  expect(lines[2]).toContain('failed (137)');
  expect(lines[2]).toContain('killed [2J by the kernel');
});

test('the state of a newer coordinator is shown by its number', () => {
  const lines = renderTable(serviceKind.columns, [{ ...web, state: 77 as ServiceState }], {
    nowMs,
    colours: false,
  });
  expect(lines[1]).toContain('unknown (77)');
});

test.each([
  [30, '30s'],
  [119, '119s'],
  [120, '2m'],
  [7_199, '119m'],
  [7_200, '2h'],
  [172_800, '2d'],
  [-5, '0s'],
])('says the age of %i seconds as %s', (seconds, words) => {
  expect(age(new Date(nowMs - seconds * 1_000), nowMs)).toBe(words);
});

test('describes nested values with enums in words', () => {
  expect(
    describeValue({
      name: 'web',
      spec: { tags: ['web', 'eu'], readiness: { tcp: {} }, ports: [{ containerPort: 80 }] },
      state: 'SERVICE_STATE_PARTLY_RUNNING',
    }),
  ).toEqual([
    'name: web',
    'spec:',
    '  tags:',
    '    - web',
    '    - eu',
    '  readiness:',
    '    tcp: {}',
    '  ports:',
    '    - containerPort: 80',
    'state: partly running',
  ]);
});

test('a list that is watched is drawn over on a terminal, and below elsewhere', () => {
  const terminal = outputTo(true);
  terminal.output.newPicture(true);
  expect(terminal.stdout.text()).toContain('\u001b[2J');
  const pipe = outputTo(false);
  pipe.output.newPicture(true);
  pipe.output.newPicture(false);
  expect(pipe.stdout.text()).toBe('\n');
});
