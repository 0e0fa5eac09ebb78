import type { Logger } from '../../shared/logger.ts';
import type { Store } from '../store/store.ts';
import type { Authority } from './authority.ts';

export interface AuthorityEventsDeps {
  readonly store: Store;
  readonly authority: Authority;
  readonly installationId: string;
  readonly log: Logger;
}

/** Makes an event of every authority that is trusted no more, whether somebody ended that or its time did. */
export function tellRetired(deps: AuthorityEventsDeps): Disposable {
  const { store, authority, installationId, log } = deps;
  const pinsNow = () => authority.trusted.map(({ pin }) => pin);
  let before = pinsNow();
  return authority.subscribe(() => {
    const now = pinsNow();
    const gone = before.filter((pin) => !now.includes(pin));
    before = now;
    if (gone.length === 0) return;
    try {
      store.transact((tx) => {
        for (const pin of gone) {
          tx.event({
            type: 'authority.retired',
            objectId: installationId,
            objectName: 'authority',
            actionId: '',
            message: `the authority with the pin ${pin} is trusted no more`,
          });
        }
      });
    } catch (err) {
      log.warn({ err }, 'the end of an authority was not recorded');
    }
  });
}
