import 'reflect-metadata';
import { createHash, webcrypto, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectTcp, type AddressInfo } from 'node:net';
import { createServer } from 'node:tls';
import {
  BasicConstraintsExtension,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
  type Extension,
} from '@peculiar/x509';
import { ClientError, createClient, Metadata, Status, type Channel } from 'nice-grpc';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ApiRole, connect, Role } from '../../../client/index.ts';
import { systemClock } from '../../../shared/clock.ts';
import { AgentServiceDefinition } from '../../../shared/gen/fairlead/v1/agent_service.ts';
import type { IssuedCertificate } from '../../../shared/gen/fairlead/v1/certificate.ts';
import { ProxyServiceDefinition } from '../../../shared/gen/fairlead/v1/proxy_service.ts';
import {
  authorizedClients,
  openChannel,
  type ClientCertificate,
} from '../../../shared/rpc/client.ts';
import { makePrivateKey, signingRequest } from '../../../shared/rpc/signing-request.ts';
import { trustOf } from '../../../shared/rpc/trust.ts';
import { Installation } from '../../support/installation.ts';
import { TestAuthority } from '../../support/test-authority.ts';

let installation: Installation;
let joinToken: string;

beforeAll(async () => {
  installation = await Installation.start();
  joinToken = await installation.joinToken();
});

afterAll(async () => {
  await installation[Symbol.asyncDispose]();
});

const never = new AbortController().signal;
const pinLength = 43;

describe('a host does not join with', () => {
  test('a token that nobody made', async () => {
    const wrong = joinToken.replace(/^flt_.{16}/, 'flt_0123456789abcdef');
    await expect(installation.join(wrong, 'host-1')).rejects.toThrow(
      /does not let this host join: the token is not valid: it is wrong, has expired, or was revoked/,
    );
  });

  test('a token whose secret was changed', async () => {
    const at = 'flt_0123456789abcdef_'.length;
    const other = joinToken[at] === 'A' ? 'B' : 'A';
    const tampered = joinToken.slice(0, at) + other + joinToken.slice(at + 1);
    await expect(installation.join(tampered, 'host-1')).rejects.toThrow('the token is not valid');
  });

  test('a token that was cut off', async () => {
    await expect(installation.join(joinToken.slice(0, -1), 'host-1')).rejects.toThrow(
      'the token is not whole',
    );
  });

  test('a token that has expired', async () => {
    const token = await installation.joinToken({ lifetimeSeconds: 1 });
    await expect
      .poll(() => installation.join(token, 'late').catch((error: unknown) => String(error)), {
        timeout: 10_000,
      })
      .toContain('the token is not valid');
  });

  test('a token that is used up', async () => {
    const token = await installation.joinToken({ maxUses: 1 });
    await installation.join(token, 'first');
    await expect(installation.join(token, 'second')).rejects.toThrow('is used up');
  });

  test('a token of another role', async () => {
    const { secret } = await installation.client.control.createToken({
      name: 'looker',
      role: Role.VIEWER,
    });
    await expect(installation.join(secret, 'host-1')).rejects.toThrow('may not call Join');
  });

  test('a token of another coordinator, which is told nothing of it', async () => {
    const foreign = (await TestAuthority.make()).token('join');
    await expect(installation.join(foreign, 'host-1')).rejects.toThrow(
      /is not the one that the token is from: its pin is .{43}, expected was .{43}\. Nothing was told to it/,
    );
  });
});

describe('a coordinator that is somebody else', () => {
  /** Takes TLS connections with the right name and the wrong authority, and counts what it is told. */
  async function impostor(authority: TestAuthority) {
    let told = 0;
    const { certificateChain, privateKey } = authority.serverIdentity;
    const options = { cert: certificateChain, key: privateKey, ALPNProtocols: ['h2'] };
    const server = createServer(options, (socket) => {
      socket.on('data', ({ length }: Buffer) => (told += length)).on('error', () => undefined);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    return {
      address: `127.0.0.1:${port}`,
      told: () => told,
      [Symbol.dispose]: () => void server.close(),
    };
  }

  test('learns nothing from who has a token', async () => {
    const authority = await TestAuthority.make();
    using other = await impostor(authority);
    const error: unknown = await connect({ address: other.address, token: joinToken }).catch(
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({
      code: Status.UNAUTHENTICATED,
      reason: 'COORDINATOR_NOT_TRUSTED',
    });
    expect(String(error)).toContain(`its pin is ${authority.pin}`);
    expect(String(error)).toContain(`expected was ${joinToken.slice(-pinLength)}`);
    expect(other.told()).toBe(0);
  });

  test('learns nothing from an agent that joined elsewhere, who says so', async () => {
    const authority = await TestAuthority.make();
    using other = await impostor(authority);
    const trust = { kind: 'bundle', pem: installation.coordinator.authorities } as const;
    const opened = openChannel(
      { address: other.address, trust },
      { clock: systemClock, timeoutMs: 500 },
      never,
    );
    await expect(opened).rejects.toMatchObject({
      reason: 'COORDINATOR_NOT_TRUSTED',
      message: expect.stringContaining('is not the one that this host joined') as string,
    });
    expect(other.told()).toBe(0);
  });

  test('is no coordinator with a copy of the right authority alone', async () => {
    // Shows the real authority's certificate behind a certificate that it never signed.
    const authority = await TestAuthority.make();
    const { certificateChain } = authority.serverIdentity;
    const [leaf = ''] = certificateChain.split(/(?<=-----END CERTIFICATE-----\n)/);
    const forged = {
      token: joinToken,
      serverIdentity: {
        ...authority.serverIdentity,
        certificateChain: leaf + installation.coordinator.authorities,
      },
    };
    using other = await impostor(forged as unknown as TestAuthority);
    await expect(connect({ address: other.address, token: joinToken })).rejects.toMatchObject({
      reason: 'COORDINATOR_NOT_TRUSTED',
    });
    expect(other.told()).toBe(0);
  });

  test('is named for its clock when its certificate is of another day', async () => {
    const dayMs = 86_400_000;
    const authority = await TestAuthority.make({ fromMs: -3 * dayMs, toMs: -2 * dayMs });
    using other = await impostor(authority);
    const token = authority.token('late');
    await expect(connect({ address: other.address, token })).rejects.toMatchObject({
      reason: 'CLOCKS_DIFFER',
      message: expect.stringContaining('one of the two clocks is wrong') as string,
    });
  });
});

describe('a signing request is refused that', () => {
  async function joinWith(signingRequestPem: string): Promise<string> {
    const channel = await openChannel(
      { address: installation.coordinator.address, trust: trustOf(joinToken) },
      { clock: systemClock, timeoutMs: 5_000 },
      never,
    );
    try {
      const client = authorizedClients(joinToken).create(AgentServiceDefinition, channel);
      await client.join({ name: 'asks', tags: [], signingRequestPem });
      return 'let in';
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      expect(error.code).toBe(Status.INVALID_ARGUMENT);
      return error.details;
    } finally {
      channel.close();
    }
  }

  async function request(
    wish: { readonly name?: string; readonly extensions?: Extension[] },
    algorithm: object = { name: 'ECDSA', namedCurve: 'P-256' },
  ): Promise<string> {
    const keys = await webcrypto.subtle.generateKey(algorithm as webcrypto.EcKeyGenParams, true, [
      'sign',
      'verify',
    ]);
    const made = await Pkcs10CertificateRequestGenerator.create({
      ...wish,
      keys,
      signingAlgorithm: { ...algorithm, hash: 'SHA-256' },
    });
    return made.toString('pem');
  }

  test('asks for a name', async () => {
    expect(await joinWith(await request({ name: 'CN=coordinator' }))).toContain(
      'must ask for no name, and asks for "CN=coordinator"',
    );
  });

  test('asks to be another node, or a certificate authority', async () => {
    const asNode = new SubjectAlternativeNameExtension([
      { type: 'url', value: 'fairlead://x/node/y' },
    ]);
    const asAuthority = new BasicConstraintsExtension(true, undefined, true);
    for (const extension of [asNode, asAuthority]) {
      expect(await joinWith(await request({ extensions: [extension] }))).toContain(
        'must ask for no extensions or attributes',
      );
    }
  });

  test('has a key of another kind', async () => {
    const curve = { name: 'ECDSA', namedCurve: 'P-384' };
    expect(await joinWith(await request({}, curve))).toContain('must be for a P-256 key');
  });

  test('is not signed by its own key, or is none', async () => {
    const [one, other] = [signingRequest(makePrivateKey()), signingRequest(makePrivateKey())];
    const der = (pem: string) => Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64');
    const mixed = Buffer.from(der(one));
    // The key is the same number of bytes in each: the other's key under this one's signature.
    der(other).copy(mixed, 10, 10, 80);
    const pem = `-----BEGIN CERTIFICATE REQUEST-----\n${mixed.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
    expect(await joinWith(pem)).toContain('signing_request_pem must be');
    for (const text of ['', 'x', one.slice(0, 200)]) {
      expect(await joinWith(text)).toContain('must be a certificate signing request');
    }
  });
});

describe('whoever has a certificate gets none for somebody else', () => {
  const csr = (privateKeyPem: string) => ({ signingRequestPem: signingRequest(privateKeyPem) });

  /** As somebody with a certificate, or with a token. */
  async function channelOf(who: ClientCertificate | string): Promise<Channel> {
    const pem = installation.coordinator.authorities;
    const how =
      typeof who === 'string'
        ? { trust: trustOf(who) }
        : { trust: { kind: 'bundle', pem } as const, certificate: who };
    const where = { address: installation.coordinator.address, ...how };
    return await openChannel(where, { clock: systemClock, timeoutMs: 5_000 }, never);
  }

  /** A request that asks to be a node of another id, and the words of its refusal. */
  async function askingForMore() {
    const keys = await webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, [
      'sign',
      'verify',
    ]);
    const url = 'fairlead://x/node/00000000000000000000000000000001';
    const made = await Pkcs10CertificateRequestGenerator.create({
      ...{ keys, signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' } },
      extensions: [new SubjectAlternativeNameExtension([{ type: 'url', value: url }])],
    });
    return { signingRequestPem: made.toString('pem') };
  }
  const refused = {
    code: Status.INVALID_ARGUMENT,
    details: expect.stringContaining('must ask for no extensions or attributes') as string,
  };
  const namesIn = (issued: IssuedCertificate | undefined) =>
    new X509Certificate(issued?.certificatePem ?? '').subjectAltName;

  test('as a node', async () => {
    const privateKeyPem = makePrivateKey();
    const newcomer = await channelOf(joinToken);
    const { nodeId, certificate } = await authorizedClients(joinToken)
      .create(AgentServiceDefinition, newcomer)
      .join({ name: 'ambitious', tags: [], ...csr(privateKeyPem) });
    newcomer.close();
    const channel = await channelOf({
      certificatePem: certificate!.certificatePem,
      privateKeyPem,
    });
    const client = createClient(AgentServiceDefinition, channel);
    await expect(client.renewCertificate(await askingForMore())).rejects.toMatchObject(refused);
    // What it is, it stays.
    const renewed = await client.renewCertificate(csr(makePrivateKey()));
    expect(namesIn(renewed.certificate)).toMatch(new RegExp(`/node/${nodeId}$`));
    channel.close();
  });

  test('as a proxy', async () => {
    const { control } = installation.client;
    await control.createService({ name: 'lb', spec: { image: 'lb:1', apiRole: ApiRole.PROXY } });
    const wish = { name: 'edge', role: Role.PROXY, services: ['lb'] };
    const { secret, token } = await control.createToken(wish);
    const newcomer = await channelOf(secret);
    const enrolling = authorizedClients(secret).create(ProxyServiceDefinition, newcomer);
    await expect(enrolling.enrol(await askingForMore())).rejects.toMatchObject(refused);
    const privateKeyPem = makePrivateKey();
    const { certificate } = await enrolling.enrol(csr(privateKeyPem));
    newcomer.close();
    const channel = await channelOf({
      certificatePem: certificate!.certificatePem,
      privateKeyPem,
    });
    const client = createClient(ProxyServiceDefinition, channel);
    const more = client.renewProxyCertificate(await askingForMore());
    await expect(more).rejects.toMatchObject(refused);
    const renewed = await client.renewProxyCertificate(csr(makePrivateKey()));
    expect(namesIn(renewed.certificate)).toMatch(new RegExp(`/proxy/${token!.id}$`));
    channel.close();
  });
});

describe('both ports', () => {
  const ports = () => [installation.coordinator.port, installation.coordinator.httpPort];

  test('cut who talks garbage, plain text or nothing at all, and serve the others', async () => {
    const garbage = createHash('sha512').update('garbage').digest();
    const words: readonly (Buffer | string)[] = [
      garbage,
      'GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      // The beginning of a TLS record that never ends.
      Buffer.of(0x16, 0x03, 0x01, 0x02, 0x00, 0x01),
      '',
    ];
    const closed = ports().flatMap((port) =>
      words.map(async (word) => {
        const socket = connectTcp(port, '127.0.0.1');
        socket.on('error', () => undefined).resume();
        socket.write(word);
        await once(socket, 'close');
      }),
    );
    const { control } = installation.client;
    expect((await control.getInfo({})).principal).toBe('admin');
    expect((await installation.coordinator.fetch('/healthz', {})).status).toBe(200);
    // The silent ones after five seconds.
    await Promise.all(closed);
    expect((await control.getInfo({})).principal).toBe('admin');
  });

  test('refuse metadata and messages that are too large, and live', async () => {
    const { control } = installation.client;
    const metadata = Metadata({ 'x-large': 'x'.repeat(64 * 1024) });
    await expect(control.getInfo({}, { metadata })).rejects.toMatchObject({
      code: Status.RESOURCE_EXHAUSTED,
      message: 'the metadata of a call may have 16384 bytes',
    });
    await expect(
      control.getService({ service: 'x'.repeat(5 * 1024 * 1024) }),
    ).rejects.toMatchObject({ code: Status.RESOURCE_EXHAUSTED });
    const large = { headers: { 'x-large': 'x'.repeat(17 * 1024) } };
    expect((await installation.coordinator.fetch('/healthz', large)).status).toBe(431);
    expect((await control.getInfo({})).principal).toBe('admin');
  });
});
