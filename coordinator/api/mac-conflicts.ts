import { DomainError } from '../../shared/errors.ts';
import type { Service, ServiceSpec } from '../model.ts';
import type { Store } from '../store/store.ts';

/** Refuses a definition with the hardware address of another service: they may meet on a node. */
export function requireOwnMacAddress(
  store: Store,
  { id }: Service,
  { container }: ServiceSpec,
): void {
  const { macAddress } = container;
  if (macAddress === '') return;
  for (const other of store.services.values()) {
    if (other.id === id || other.spec.container.macAddress !== macAddress) continue;
    throw new DomainError(
      'precondition',
      `${other.name} has the address ${macAddress} already, and its containers share a network with these on the same node; choose another`,
      { reason: 'MAC_ADDRESS_TAKEN' },
    );
  }
}
