import { DomainError } from '../../shared/errors.ts';
import type { Service, ServiceSpec } from '../model.ts';
import type { Store } from '../store/store.ts';

/** Throws unless every service whose volumes a definition uses is there, and is another one. */
export function requireVolumeSources(
  store: Pick<Store, 'serviceNamed'>,
  { name: own }: Service,
  { volumesFrom }: ServiceSpec,
): void {
  for (const name of volumesFrom) {
    if (name === own) {
      throw new DomainError('precondition', `${own} cannot have volumes from itself`, {
        reason: 'VOLUMES_OF_SELF',
      });
    }
    const source = store.serviceNamed(name);
    if (source === undefined || source.terminating) {
      throw new DomainError(
        'not-found',
        `no service is called "${name}": name one to have its volumes`,
        { reason: 'VOLUMES_SERVICE_NOT_FOUND' },
      );
    }
  }
}
