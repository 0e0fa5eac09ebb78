import { readFileSync } from 'node:fs';
import { InvalidArgumentError } from 'commander';
import { messageOf } from '../../shared/errors.ts';
import type { FlagGroup } from './option-flags.ts';
import { readCount } from './values.ts';

// The values that ts-proto generates for these enums; the generated code itself is not loaded for help.
const policies = { intermediate: 10, modern: 20 };
const clientCertificates = { none: 10, optional: 20, required: 30 };

/** Flags for how a load balancer speaks TLS with its clients. */
export const tlsFlags: readonly FlagGroup[] = [
  [
    'TLS (of a load balancer):',
    [
      {
        ...{ flags: '--tls-port <port>', path: 'tls.ports', read: readCount, keyOf: String },
        description: 'port of its containers that speaks TLS, repeatable; 443 if not given',
      },
      {
        ...{ flags: '--tls-policy <policy>', path: 'tls.policy', words: policies },
        description: 'versions and ciphers: intermediate (TLS 1.2 on) or modern (1.3)',
      },
      {
        ...{ flags: '--client-certificates <which>', path: 'tls.clientCertificates' },
        ...{ description: 'whether clients have to show them', words: clientCertificates },
      },
      {
        ...{ flags: '--client-ca <file>', path: 'tls.clientCaPem', read: readPem },
        description: 'authorities that those are to be issued by, PEM',
      },
    ],
  ],
];

function readPem(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new InvalidArgumentError(`It cannot be read: ${messageOf(error)}.`);
  }
}
