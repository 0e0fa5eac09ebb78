import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
  cryptoProvider,
  type Extension,
  type X509Certificate,
} from '@peculiar/x509';

cryptoProvider.set(webcrypto as unknown as Parameters<typeof cryptoProvider.set>[0]);

const dayMs = 86_400_000;

const algorithms = {
  'EC P-256': { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  'EC P-384': { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-256' },
  'RSA 1024': rsa(1_024),
  'RSA 2048': rsa(2_048),
} as const;

function rsa(modulusLength: number) {
  return {
    name: 'RSASSA-PKCS1-v1_5',
    modulusLength,
    publicExponent: Uint8Array.of(1, 0, 1),
    hash: 'SHA-256',
  };
}

/** What a test says of a certificate; the rest is filled in. */
export interface SiteOptions {
  readonly hosts?: readonly string[];
  readonly key?: keyof typeof algorithms;
  /** Days from now. */
  readonly fromDays?: number;
  readonly toDays?: number;
  readonly hash?: 'SHA-1' | 'SHA-256';
  /** Of an authority; an end certificate for servers otherwise. */
  readonly ca?: boolean;
  /** Whom it is for. */
  readonly usage?: 'servers' | 'clients';
}

/** A certificate and its key. */
export interface Site {
  /** The certificate alone. */
  readonly pem: string;
  readonly key: string;
  /** What a server shows: without the root. */
  readonly chain: string;
  /** Hexadecimal, in lower case. */
  readonly serialNumber: string;
}

interface Issuer extends Site {
  readonly certificate: X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
  readonly isRoot: boolean;
}

let issued = 0;

/** A certificate authority of the web, as far as a test goes: a root, and one that it lets issue. */
export class SiteAuthority {
  readonly root: Issuer;
  readonly intermediate: Issuer;

  private constructor(root: Issuer, intermediate: Issuer) {
    this.root = root;
    this.intermediate = intermediate;
  }

  static async make(): Promise<SiteAuthority> {
    const root = await make('CN=Test root', { ca: true, fromDays: -900, toDays: 900 });
    const options = { ca: true, fromDays: -800, toDays: 800 };
    return new SiteAuthority(root, await make('CN=Test issuer', options, root));
  }

  /** A certificate for these hosts, by the intermediate. */
  async site(hosts: string | readonly string[], options: SiteOptions = {}): Promise<Site> {
    const list = typeof hosts === 'string' ? [hosts] : hosts;
    const subject = `CN=${list[0] ?? 'nobody'}`;
    return await make(subject, { ...options, hosts: list }, this.intermediate);
  }

  /** One by another issuer, or by itself. */
  async odd(options: SiteOptions, issuer?: Issuer): Promise<Issuer> {
    return await make('CN=odd', options, issuer);
  }
}

async function make(subject: string, options: SiteOptions, issuer?: Issuer): Promise<Issuer> {
  const { fromDays = -1, toDays = 60, hash = 'SHA-256' } = options;
  const algorithm = algorithms[options.key ?? 'EC P-256'];
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const serialNumber = `4${(++issued).toString(16).padStart(7, '0')}`;
  const signing = issuer?.keys ?? keys;
  const certificate = await X509CertificateGenerator.create({
    ...{ subject, issuer: issuer?.certificate.subject ?? subject, serialNumber },
    extensions: extensionsOf(options),
    notBefore: new Date(Date.now() + fromDays * dayMs),
    notAfter: new Date(Date.now() + toDays * dayMs),
    publicKey: keys.publicKey,
    signingKey: signing.privateKey,
    signingAlgorithm: { name: signing.privateKey.algorithm.name, hash },
  });
  const pem = `${certificate.toString('pem')}\n`;
  const above = issuer === undefined || issuer.isRoot ? '' : issuer.chain;
  const isRoot = issuer === undefined;
  const key = await pemOfKey(keys.privateKey);
  return { pem, key, chain: pem + above, serialNumber, certificate, keys, isRoot };
}

function extensionsOf({ hosts = [], ca = false, usage = 'servers' }: SiteOptions): Extension[] {
  const names = hosts.map((value) =>
    /^[\d.]+$/.test(value) ? { type: 'ip' as const, value } : { type: 'dns' as const, value },
  );
  const purpose = usage === 'clients' ? 'clientAuth' : 'serverAuth';
  return [
    new BasicConstraintsExtension(ca, undefined, true),
    ...(names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names)]),
    ...(ca ? [] : [new ExtendedKeyUsageExtension([ExtendedKeyUsage[purpose]])]),
  ];
}

async function pemOfKey(key: webcrypto.CryptoKey): Promise<string> {
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key));
  const lines = pkcs8.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN PRIVATE KEY-----\n${lines.join('\n')}\n-----END PRIVATE KEY-----\n`;
}
