import { writeSync } from 'node:fs';
import { Store } from '../../../../coordinator/store/store.ts';
import { systemClock } from '../../../../shared/clock.ts';
import { aContainer, aNode, aService } from '../../../support/builders.ts';

// Writes transactions that belong together until it is killed: a service, its containers and an event all
// carry the number of the transaction, which is told after its commit.

const [, , path = ''] = process.argv;
const store = new Store(path, { clock: systemClock });
for (let version = 1; ; version++) {
  store.transact((tx) => {
    tx.nodes.put(aNode());
    tx.services.put(aService({ version }));
    for (let slot = 1; slot <= 5; slot++) {
      tx.containers.put(aContainer({ slot, createdAtMs: version }));
    }
    tx.event({ type: 'x', objectId: '', objectName: '', actionId: '', message: '' });
  });
  writeSync(1, `${version}\n`);
}
