import { readFileSync } from 'node:fs';
import { Client, credentials, ServerCredentials } from '@grpc/grpc-js';
import { coordinatorName } from '../../../shared/rpc/trust.ts';
import type { TestAuthority } from '../../support/test-authority.ts';

/** What the processes of the floor show each other, as a file between them. PEM. */
interface FloorTls {
  readonly bundle: string;
  readonly certificateChain: string;
  readonly privateKey: string;
}

/** The content of that file. */
export function floorTlsOf({ bundle, serverIdentity }: TestAuthority): string {
  const { certificateChain, privateKey } = serverIdentity;
  return JSON.stringify({ bundle, certificateChain, privateKey } satisfies FloorTls);
}

/** A client of the relay. */
export function floorClient(relay: string, tlsPath: string): Client {
  const { bundle } = read(tlsPath);
  const options = { 'grpc.ssl_target_name_override': coordinatorName };
  return new Client(relay, credentials.createSsl(Buffer.from(bundle)), options);
}

export function floorServerCredentials(tlsPath: string): ServerCredentials {
  const { certificateChain, privateKey } = read(tlsPath);
  const pair = { cert_chain: Buffer.from(certificateChain), private_key: Buffer.from(privateKey) };
  return ServerCredentials.createSsl(null, [pair]);
}

function read(path: string): FloorTls {
  return JSON.parse(readFileSync(path, 'utf8')) as FloorTls;
}
