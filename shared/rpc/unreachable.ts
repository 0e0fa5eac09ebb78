import { DomainError, messageOf } from '../errors.ts';

/** What is thrown when no coordinator answers at an address. Says why, in words, as far as that shows. */
export function unreachable(address: string, cause: unknown): DomainError {
  return new DomainError('unavailable', `no coordinator answers at ${address}: ${wordsOf(cause)}`, {
    reason: 'COORDINATOR_UNREACHABLE',
    cause: cause instanceof Error ? cause : new Error(messageOf(cause)),
  });
}

/** Whether a name is unknown, a port is closed or something else listens there is what one needs to know. */
function wordsOf(cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  if (code.startsWith('ERR_SSL_')) {
    return 'something listens there, but it does not speak TLS as a coordinator does; if it is one of before links were encrypted, upgrade it';
  }
  switch (code) {
    case 'ECONNREFUSED':
      return 'the connection was refused; nothing listens on that port';
    case 'ECONNRESET':
      return 'something listens there, and hangs up; is it a coordinator?';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'that host name is not known';
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return 'there is no route to that host';
    default:
      return messageOf(cause);
  }
}
