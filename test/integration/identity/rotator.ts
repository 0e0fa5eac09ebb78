import { writeSync } from 'node:fs';
import { Authority } from '../../../coordinator/identity/authority.ts';
import { systemClock } from '../../../shared/clock.ts';
import { createLogger } from '../../../shared/logger.ts';

// Replaces the authority of a state directory, and ends the trust in the one before, until it is killed;
// tells the pin of each that signs when it does.

const [, , stateDir = ''] = process.argv;
const authority = await Authority.open(
  { clock: systemClock, log: createLogger({ level: 'silent', process: 'test' }) },
  { stateDir, installationId: 'ab', names: [], certificateLifeMs: 3_600_000 },
);
for (let count = 1; ; count++) {
  if (authority.trusted.length > 2) await authority.finish(`finish-${count}`);
  await authority.rotate(`rotate-${count}`);
  writeSync(1, `${authority.pin}\n`);
}
