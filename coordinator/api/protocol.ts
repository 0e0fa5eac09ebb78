import { DomainError } from '../../shared/errors.ts';
import { version } from '../version.ts';

/** Version of the protocol that agents and proxies speak. */
export const protocolVersion = 1;

export interface Speaker {
  /** What it is, in words. */
  readonly what: 'agent' | 'proxy agent';
  /** The version of the program. */
  readonly version: string;
  readonly protocolVersion: number;
}

/** Throws 'precondition' if a peer speaks another protocol: what differs within one is not said, or ignored. */
export function requireProtocol(peer: Speaker): void {
  if (peer.protocolVersion === protocolVersion) return;
  const older = peer.protocolVersion < protocolVersion ? peer.what : 'coordinator';
  throw new DomainError(
    'precondition',
    `this coordinator (version ${version}) speaks protocol ${protocolVersion}, and the ${peer.what} (version ${peer.version.slice(0, 64)}) protocol ${peer.protocolVersion}; upgrade the ${older}`,
    { reason: 'PROTOCOL_UNKNOWN' },
  );
}
