import type { ReplaceableAuthority } from '../../coordinator/api/authorities.ts';
import type { Authority } from '../../coordinator/identity/authority.ts';

const pin = 'p'.repeat(43);
const notHere = () => Promise.reject(new Error('this authority is for ever'));

/** An authority that signs nothing, trusts everybody and is never replaced. */
export const fixedAuthority: ReplaceableAuthority & Pick<Authority, 'trusts'> = {
  trusted: [
    { pin, certificate: '', vouched: '', sinceMs: 0, replacedAtMs: null, trustedUntilMs: null },
  ],
  version: 1,
  lastActionId: '',
  trusts: () => true,
  requireRoom: () => undefined,
  rotate: notHere,
  finish: notHere,
};
