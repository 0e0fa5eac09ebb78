import type { Proxy } from '../../shared/gen/fairlead/v1/load_balancer.ts';
import type { Cell } from './table.ts';

const dayMs = 86_400_000;

/** The day that it ends, and how far that is. */
export function expiryCell(notAfter: Date | undefined, nowMs: number): Cell {
  if (notAfter === undefined) return '';
  const date = notAfter.toISOString().slice(0, 10);
  const days = Math.floor((notAfter.getTime() - nowMs) / dayMs);
  if (days < 0) return { text: `${date} (expired)`, tone: 'bad' };
  return { text: `${date} (${days}d)`, tone: days < 7 ? 'bad' : days < 14 ? 'busy' : 'plain' };
}

/** How many certificates a proxy has, and the first to end; what HAProxy refused before all. */
export function certificatesOf({ certificates }: Proxy, nowMs: number): Cell {
  const refused = certificates.find(({ message }) => message !== '');
  if (refused !== undefined) return { text: `${refused.certificate} refused`, tone: 'bad' };
  const [first] = certificates
    .map(({ notAfter }) => notAfter)
    .filter((end) => end !== undefined)
    .sort((a, b) => a.getTime() - b.getTime());
  if (first === undefined) return '';
  const expiry = expiryCell(first, nowMs);
  const { text, tone } =
    typeof expiry === 'string' ? ({ text: expiry, tone: 'plain' } as const) : expiry;
  const pending = certificates.some(({ current }) => !current);
  const state = pending ? `${certificates.length} (applying)` : String(certificates.length);
  return { text: `${state}, to ${text}`, tone: pending ? 'busy' : tone };
}
