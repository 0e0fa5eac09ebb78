import { readFile } from 'node:fs/promises';
import { MethodOptions_IdempotencyLevel } from '@bufbuild/protobuf/wkt';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ApiRole, connect, Role, type FairleadClient } from '../../../../client/index.ts';
import { contractRegistry } from '../../../../coordinator/api/contract.ts';
import { CoordinatorInProcess } from '../../../support/coordinator-in-process.ts';
import { eventually } from '../../../support/eventually.ts';
import { SiteAuthority } from '../../../support/site-certificates.ts';
import { TemporaryDirectory } from '../../../support/temporary-directory.ts';

const planted = 'planted-in-an-environment-7f3a';
const site = await (await SiteAuthority.make()).site('www.example.com');
/** A part of the private key that is in no other. */
const inPrivateKey = site.key.split('\n')[2]!;

const directory = new TemporaryDirectory();
let coordinator: CoordinatorInProcess;
let admin: FairleadClient;
/** Tokens by who has them. */
const tokens = new Map<string, string>();

beforeAll(async () => {
  const stateDir = directory.join('state');
  coordinator = await CoordinatorInProcess.start(stateDir);
  const token = (await readFile(`${stateDir}/admin.token`, 'utf8')).trim();
  tokens.set('admin', token);
  admin = await connect({ address: coordinator.address, token });
  const { control } = admin;
  const environment = { PASSWORD: planted };
  const ports = [{ containerPort: 80 }];
  await control.createService({ name: 'web', spec: { image: 'hello:1', ports, environment } });
  await control.createService({ name: 'other', spec: { image: 'hello:1' } });
  const links = [{ service: 'web', alias: 'web' }];
  const spec = { image: 'lb:1', links, apiRole: ApiRole.PROXY };
  await control.createService({ name: 'lb', spec });
  await setPassword(`${planted}-2`);
  await control.putCertificate({
    ...{ name: 'site', chainPem: site.chain, privateKeyPem: site.key },
  });
  await control.createNodeCluster({ name: 'edge' });
  const made = {
    operator: { role: Role.OPERATOR },
    viewer: { role: Role.VIEWER },
    operatorOfOther: { role: Role.OPERATOR, services: ['other'] },
    proxy: { role: Role.PROXY, services: ['lb'] },
  };
  for (const [name, wish] of Object.entries(made)) {
    const { secret } = await control.createToken({ name, ...wish });
    tokens.set(name, secret);
  }
  await control.startService({ service: 'web' });
  await eventually(async () => {
    const { containers } = await control.listContainers({ services: ['web'] });
    expect(containers.map(({ name }) => name)).toEqual(['web-1']);
  });
});

afterAll(async () => {
  await admin[Symbol.asyncDispose]();
  await coordinator[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

async function setPassword(PASSWORD: string): Promise<void> {
  await admin.control.updateService({
    ...{ service: 'web', spec: { environment: { PASSWORD } }, updateMask: ['environment'] },
  });
}

/** Everything that can be read, and what is asked for. */
const reads: Readonly<Record<string, object>> = {
  ...{ GetInfo: {}, ListServices: {}, ListContainers: {}, ListNodes: {}, ListNodeClusters: {} },
  ...{ ListEndpoints: {}, ListProxies: {}, ListActions: {}, ListTokens: {}, ListCertificates: {} },
  ...{ WatchServices: {}, WatchContainers: {}, WatchNodes: {}, WatchNodeClusters: {} },
  ...{ WatchEndpoints: {}, WatchProxies: {}, WatchActions: {}, WatchTokens: {} },
  ...{ WatchCertificates: {}, WatchEvents: {}, ListEvents: { limit: 1_000 }, GetTrust: {} },
  GetService: { service: 'web' },
  ListRevisions: { service: 'web' },
  DiffRevisions: { service: 'web', fromRevision: 1, toRevision: 2 },
  GetContainer: { container: 'web-1' },
  GetNode: { node: planted },
  GetNodeCluster: { nodeCluster: 'edge' },
  GetAction: { action: planted },
  GetCertificate: { certificate: 'site' },
  Explain: { subject: { $case: 'service', value: 'web' } },
};
/** What programs wrote, which is theirs: `test/integration/coordinator/streams`. */
const ofPrograms = ['ContainerLogs', 'ServiceLogs', 'ExecContainer'];
/** These say what was asked for and is not there. */
const notThere = ['GetNode', 'GetAction'];
/** A definition with its environment is in these at least. */
const definitions = [
  ...['GetService', 'ListServices', 'WatchServices', 'ListRevisions', 'DiffRevisions', 'Explain'],
];

type Read = (request: object, options: object) => Promise<object> | AsyncIterable<object>;

/** All that a method says to somebody, or why it says nothing; a watch goes on until it is ended. */
class Reading implements AsyncDisposable {
  readonly method: string;
  text = '';
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;

  constructor({ control }: FairleadClient, method: string, request: object) {
    this.method = method;
    const name = `${method.charAt(0).toLowerCase()}${method.slice(1)}`;
    const read = (control as unknown as Record<string, Read>)[name]!;
    this.#ended = this.#read(read(request, { signal: this.#stop.signal }));
  }

  async #read(answer: Promise<object> | AsyncIterable<object>): Promise<void> {
    try {
      if (Symbol.asyncIterator in answer) {
        for await (const part of answer) this.text += JSON.stringify(part);
      } else {
        this.text += JSON.stringify(await answer);
      }
    } catch (error) {
      if (!this.#stop.signal.aborted) this.text += String(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }
}

/** Reads everything as somebody, while the environment changes; what each method said. */
async function everythingAs(who: string): Promise<Map<string, string>> {
  await using client = await connect({ address: coordinator.address, token: tokens.get(who)! });
  const readings = Object.entries(reads).map((each) => new Reading(client, ...each));
  try {
    await eventually(() => {
      expect(readings.filter(({ text }) => text === '').map(({ method }) => method)).toEqual([]);
    });
    const watch = readings.find(({ method }) => method === 'WatchEvents');
    const before = watch?.text;
    await setPassword(`${planted}-for-${who}`);
    // Who is told of this service at all has been told of the change.
    if (['admin', 'operator', 'viewer'].includes(who)) {
      await eventually(() => {
        expect(watch?.text).not.toBe(before);
        const { text = '' } = readings.find(({ method }) => method === 'WatchServices') ?? {};
        const { revision } =
          /"revision":(?<revision>\d+)(?!.*"revision")/s.exec(text)?.groups ?? {};
        expect(Number(revision)).toBeGreaterThan(2);
      });
    }
    return new Map(readings.map(({ method, text }) => [method, text]));
  } finally {
    for (const reading of readings) await reading[Symbol.asyncDispose]();
  }
}

test('this test reads all that can be read', () => {
  const methods = contractRegistry()
    .getService('fairlead.v1.ControlService')
    ?.methods.filter(
      ({ methodKind, idempotency }) =>
        methodKind !== 'unary' || idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS,
    );
  expect([...Object.keys(reads), ...ofPrograms].sort()).toEqual(
    methods?.map(({ name }) => name).sort(),
  );
});

test.each([
  ['admin', true],
  ['operator', true],
  ['viewer', false],
  ['operatorOfOther', false],
  ['proxy', false],
])('what %s can read, and what watches tell meanwhile, has no secret', async (who, mayChange) => {
  const said = await everythingAs(who);
  const withEnvironment: string[] = [];
  for (const [method, text] of said) {
    expect(text, method).not.toContain(inPrivateKey);
    for (const token of tokens.values()) {
      const [, , secret = ''] = /^([^_]*_){2}(.{43})/.exec(token) ?? [];
      expect(secret).toHaveLength(43);
      expect(text, method).not.toContain(secret);
    }
    if (text.includes(planted) && !notThere.includes(method)) withEnvironment.push(method);
  }
  // Values of variables are for those who may change them.
  if (!mayChange) expect(withEnvironment).toEqual([]);
  else expect(withEnvironment).toEqual(expect.arrayContaining(definitions));
});

test('a viewer sees which variables there are, and which of them differ', async () => {
  await using viewer = await connect({
    ...{ address: coordinator.address, token: tokens.get('viewer')! },
  });
  const hidden = { PASSWORD: '********' };
  const { service } = await viewer.control.getService({ service: 'web' });
  expect(service?.spec?.environment).toEqual(hidden);
  const { revisions } = await viewer.control.listRevisions({ service: 'web' });
  expect(revisions.at(-1)?.spec?.environment).toEqual(hidden);
  const between = { service: 'web', fromRevision: 1, toRevision: 2 };
  const { changes } = await viewer.control.diffRevisions(between);
  const value = JSON.stringify('********');
  expect(changes).toEqual([{ path: 'environment.PASSWORD', before: value, after: value }]);
});
