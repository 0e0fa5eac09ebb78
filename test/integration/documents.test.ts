import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { Status } from 'nice-grpc-common';
import { describe, expect, test } from 'vitest';
import { nodeAgentFlags, readNodeAgentConfig } from '../../agent/node/config.ts';
import { proxyAgentFlags, readProxyAgentConfig } from '../../agent/proxy/config.ts';
import { daemons } from '../../client/cli/daemons.ts';
import { toStatus } from '../../coordinator/api/status.ts';
import { readCoordinatorConfig } from '../../coordinator/config.ts';
import { httpStatusOf } from '../../coordinator/http/connect-protocol.ts';
import { identityVariables } from '../../coordinator/orchestrator/container-environment.ts';
import { DomainError, messageOf, type ErrorKind } from '../../shared/errors.ts';
import { AgentServiceDefinition } from '../../shared/gen/fairlead/v1/agent_service.ts';
import { ControlServiceDefinition } from '../../shared/gen/fairlead/v1/control_service.ts';
import { ProxyServiceDefinition } from '../../shared/gen/fairlead/v1/proxy_service.ts';
import { parseFlags } from '../../shared/daemon.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const read = (path: string) => readFileSync(join(root, path), 'utf8');

const documents = [
  ...['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md'],
  ...filesBelow('docs', '.md'),
];
const programs = ['agent', 'client', 'coordinator', 'shared'];
const sources = programs
  .flatMap((directory) => filesBelow(directory, '.ts'))
  .filter((path) => !path.startsWith('shared/gen/'));
const readme = read('README.md');
const protocol = read('docs/protocol.md');

function filesBelow(directory: string, ending: string): string[] {
  return readdirSync(join(root, directory), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith(ending))
    .map((path) => join(directory, path))
    .sort();
}

/** What stands below a heading, up to the next one. */
function section(text: string, heading: string): string {
  const [, below = ''] = text.split(new RegExp(`^#+ ${heading}$`, 'm'));
  return below.split(/^#+ /m)[0] ?? '';
}

/** The cells of every row of the tables in a text, without their heads. */
function rows(text: string): string[][] {
  return [...text.matchAll(/^\| (.*?) ?\|$/gm)]
    .map(([, row = '']) => row.split(' | ').map((cell) => cell.trim()))
    .filter(([first = ''], index, all) => first !== '---' && all[index + 1]?.[0] !== '---');
}

/** What the groups of a pattern hold, wherever it is found. */
function groupsOf(texts: readonly string[], pattern: RegExp): string[] {
  return texts.flatMap((text) =>
    [...text.matchAll(pattern)].flatMap((match) =>
      match.slice(1).filter((group: string | undefined) => group !== undefined),
    ),
  );
}

/** The text of a cell that is nothing but code. */
function codeIn(cell: string | undefined): string | undefined {
  return /^`([^`]+)`$/.exec(cell ?? '')?.[1];
}

function camelCase(flag: string): string {
  return flag
    .replace(/^--/, '')
    .replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function variableOf(key: string): string {
  return `FAIRLEAD_${key.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

/** The keys of the coordinator's schema, found by what it asks for. */
function coordinatorKeys(): string[] {
  const asked = new Set<string>();
  const flags = new Proxy<Record<string, unknown>>(
    {},
    {
      get: (_, key) => {
        asked.add(String(key));
        return undefined;
      },
    },
  );
  readCoordinatorConfig({ flags, env: {} });
  return [...asked];
}

describe('the configuration tables of README', () => {
  const agentBasics = { coordinator: 'host:1', name: 'host-1' };
  const proxyBasics = { coordinator: 'host:1', token: 'secret', service: 'lb', name: 'lb-1' };
  test.each([
    {
      heading: 'Coordinator',
      keys: coordinatorKeys(),
      shown: Object.keys(daemons.coordinator.flags),
      config: (flags: Record<string, unknown>) => readCoordinatorConfig({ flags, env: {} }),
    },
    {
      heading: 'Node agent',
      keys: Object.keys(nodeAgentFlags),
      shown: Object.keys(daemons.agent.flags),
      config: (flags: Record<string, unknown>) =>
        readNodeAgentConfig({ ...agentBasics, ...flags }, {}),
    },
    {
      heading: 'Proxy agent',
      keys: Object.keys(proxyAgentFlags),
      shown: Object.keys(daemons.proxy.flags),
      config: (flags: Record<string, unknown>) =>
        readProxyAgentConfig({ ...proxyBasics, ...flags }, {}),
    },
  ])('have what the code has: $heading', ({ heading, keys, shown, config }) => {
    const table = rows(section(readme, heading));
    expect(table.map(([flag]) => camelCase(codeIn(flag) ?? ''))).toEqual(shown);
    expect(keys.toSorted()).toEqual(shown.toSorted());
    for (const [flag, variable, defaultValue] of table) {
      const key = camelCase(codeIn(flag) ?? '');
      expect(codeIn(variable)).toBe(variableOf(key));
      const value = codeIn(defaultValue);
      if (value !== undefined) expect(config({ [key]: value })).toEqual(config({}));
    }
  });

  test('name the settings that a load balancer service can have', () => {
    const named = [...section(readme, 'Proxy agent').matchAll(/`(FAIRLEAD_PROXY_\w+)`/g)];
    const settings = read('agent/proxy/config.ts').match(/serviceSettings = \[([^\]]+)\]/)?.[1];
    const expected = [...(settings ?? '').matchAll(/'(\w+)'/g)].map(([, name]) => name);
    const proxyId = 'FAIRLEAD_PROXY_ID';
    expect(named.map(([, name]) => name).filter((name) => name !== proxyId)).toEqual(
      expected.map((name) => `FAIRLEAD_PROXY_${name ?? ''}`),
    );
  });
});

test('README names every variable that containers are told', () => {
  const object = { id: 'a'.repeat(32), name: 'web' };
  const api = { httpUrl: 'http://host', grpcAddress: 'host:1', zone: 'zone' };
  const inputs = { service: object, container: object, node: object, api };
  const variables = identityVariables(inputs as unknown as Parameters<typeof identityVariables>[0]);
  const text = section(readme, 'What containers are told');
  const missing = Object.keys(variables).filter((name) => !text.includes(`\`${name}\``));
  expect(missing).toEqual([]);
});

describe('the error reasons of docs/protocol.md', () => {
  const documented = rows(protocol).filter(([first]) => /^`[A-Z]+(_[A-Z]+)*`$/.test(first ?? ''));
  const reasons = new Map(documented.map(([reason, status = '']) => [codeIn(reason), status]));
  const texts = sources.map(read);

  test('are those of the code', () => {
    const thrown = [
      /\breason: *(?:\w+ \? )?'([A-Z_]+)'(?: : '([A-Z_]+)')?/g,
      /\b(?:close|cut)\('([A-Z]+_[A-Z]+)'\)/g,
      /\btooLarge = '([A-Z_]+)'/g,
    ];
    const inCode = new Set([
      ...thrown.flatMap((pattern) => groupsOf(texts, pattern)),
      ...groupsOf(texts, /\bnotFound\('(\w+)'/g).map((kind) => `${kind.toUpperCase()}_NOT_FOUND`),
    ]);
    expect([...reasons.keys()].toSorted()).toEqual([...inCode].toSorted());
  });

  test('have the status that their kind has', () => {
    const thrown = texts.flatMap((text) => [
      ...text.matchAll(/new DomainError\(\s*'([a-z-]+)',(?:(?!new )[^])*?\breason: '([A-Z_]+)'/g),
    ]);
    expect(thrown.length).toBeGreaterThan(30);
    for (const [, kind, reason = ''] of thrown) {
      const status = reasons.get(reason);
      const { code } = toStatus(new DomainError(kind as ErrorKind, '', { reason }));
      // What only stops a process has no status.
      if (/^[A-Z_, or]+$/.test(status ?? ''))
        expect([reason, status]).toEqual([reason, Status[code]]);
    }
  });

  test('stand in order', () => {
    const tables = ['From the coordinator', 'From the client', 'That stop a process'];
    for (const heading of tables) {
      const names = rows(section(protocol, heading)).map(([name]) => name);
      expect(names).toEqual(names.toSorted());
    }
  });
});

test('docs/protocol.md names every RPC', () => {
  const methods = [
    ...Object.values(ControlServiceDefinition.methods),
    ...Object.values(AgentServiceDefinition.methods),
    ...Object.values(ProxyServiceDefinition.methods),
  ];
  const missing = methods
    .map(({ name }) => name)
    .filter((name) => !new RegExp(`\\b${name}\\b`).test(protocol));
  expect(missing).toEqual([]);
});

test('docs/protocol.md has the HTTP statuses that are sent', () => {
  const table = rows(section(protocol, 'JSON over HTTPS')).filter(([, http]) =>
    /^\d{3}\b/.test(http ?? ''),
  );
  const sent = table.map(([names = '']) =>
    names.split(', ').map((name) => {
      const code = name === 'canceled' ? 'CANCELLED' : name.toUpperCase();
      return httpStatusOf(Status[code as keyof typeof Status]);
    }),
  );
  expect(table.length).toBeGreaterThan(10);
  expect(sent.map((statuses) => [...new Set(statuses)])).toEqual(
    table.map(([, http = '']) => [Number.parseInt(http)]),
  );
});

describe('commands in the documents', () => {
  const nouns = ['service', 'container', 'link', 'endpoint', 'lb', 'explain', 'action', 'events'];

  /** The command line with every verb and flag, and nothing behind them. */
  async function commandLine(): Promise<Command> {
    const program = new Command('fairlead')
      .exitOverride()
      .configureOutput({ writeOut: () => undefined, writeErr: () => undefined });
    program.option('--coordinator <address>').option('--token <token>');
    program.option('--token-file <file>').option('--json');
    for (const noun of [
      ...nouns,
      'certificate',
      'cluster',
      'node',
      'token',
      'ca',
      'login',
      'context',
      'info',
      'coordinator',
    ]) {
      const { configure } = (await import(`../../client/cli/commands/${noun}.ts`)) as {
        configure: (command: Command) => void;
      };
      configure(program.command(noun));
    }
    const { configure } = await import('../../client/cli/commands/daemon.ts');
    for (const daemon of ['agent', 'proxy'] as const) {
      configure(daemon)(program.command(daemon));
    }
    disarm(program);
    return program;
  }

  function disarm(command: Command): void {
    if (command.commands.length === 0) command.action(() => undefined);
    command.commands.forEach(disarm);
  }

  /** What is wrong with a line of a document; undefined if it would run. */
  function problemOf(program: Command, line: string): string | undefined {
    const [, bundle, rest = ''] =
      /^(?:fairlead|node \S*main\.js|node \S*fairlead-(agent|proxy)\.cjs) (.*)$/.exec(line) ?? [];
    const words = [...rest.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(
      ([, double, single, bare]) => double ?? single ?? bare ?? '',
    );
    const end = words.findIndex((word) => /^([|>&;#]|2>)/.test(word));
    const args = end < 0 ? words : words.slice(0, end);
    try {
      if (bundle === 'agent') parseFlags(args, nodeAgentFlags);
      else if (bundle === 'proxy') parseFlags(args, proxyAgentFlags);
      else program.parse(args, { from: 'user' });
      return undefined;
    } catch (error) {
      return `${line}: ${messageOf(error)}`;
    }
  }

  function linesOfFences(text: string): string[] {
    return [...text.matchAll(/^```(?!ts)\w*\n([^]*?)^```$/gm)].flatMap(([, code = '']) =>
      code
        .replaceAll(/ *\\\n */g, ' ')
        .split('\n')
        .map((line) => line.trim().replace(/^\$ /, '')),
    );
  }

  test.each(documents)('can be given: %s', async (path) => {
    const program = await commandLine();
    const text = read(path);
    const lines = linesOfFences(text).filter((line) =>
      /^(fairlead|node \S*(main\.js|fairlead-(agent|proxy)\.cjs)) /.test(line),
    );
    const problems = lines.flatMap((line) => problemOf(program, line) ?? []);
    expect(problems).toEqual([]);
    for (const [, noun = '', verb] of text.matchAll(/`fairlead ([a-z]+)(?: ([a-z]+))?/g)) {
      const command = program.commands.find((each) => each.name() === noun);
      const verbs = command?.commands.map((each) => each.name()) ?? [];
      const isThere = command !== undefined && (verbs.length === 0 || verbs.includes(verb ?? ''));
      expect({ noun, verb, isThere: isThere || noun === 'help' }).toMatchObject({ isThere: true });
    }
  });

  test('of npm are in package.json', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    for (const path of documents) {
      for (const [, name = ''] of read(path).matchAll(/\bnpm run ([a-z][a-z0-9:]*)/g)) {
        expect(Object.keys(scripts)).toContain(name);
      }
    }
  });
});

test.each(documents)('links lead somewhere: %s', (path) => {
  const links = [...read(path).matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g)].map(
    ([, to]) => to ?? '',
  );
  const broken = links.filter((to) => !existsSync(join(root, dirname(path), to)));
  expect(broken).toEqual([]);
});

test("ARCHITECTURE's code map has every file, and none that is not there", () => {
  const [, map = ''] = read('ARCHITECTURE.md').split('## Code map');
  const [text = ''] = map.split('\n## ');
  const isPath = new RegExp(`^(${programs.join('|')}|proto|deploy|docs|test)/`);
  const paths = [...text.matchAll(/`([^`]+)`/g)]
    .map(([, code]) => code ?? '')
    .filter((code) => isPath.test(code));
  expect(paths.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  const folders = paths.filter((path) => path.split('/').length > 2 && path.endsWith('/'));
  const detailed = (folder: string) =>
    paths.some((path) => path.startsWith(folder) && path.length > folder.length);
  const whole = folders.filter((folder) => !detailed(folder));
  const unnamed = sources.filter(
    (path) =>
      path.split('/').length > 1 &&
      !path.startsWith('client/') &&
      !paths.includes(path) &&
      !whole.some((folder) => path.startsWith(folder)),
  );
  expect(unnamed).toEqual([]);
});
