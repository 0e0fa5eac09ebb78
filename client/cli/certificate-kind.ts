import { Certificate, CertificateSource } from '../../shared/gen/fairlead/v1/tls.ts';
import type { Kind } from './kinds.ts';
import type { Cell } from './table.ts';

const dayMs = 86_400_000;

/** How certificates are shown. */
export const certificateKind: Kind<Certificate> = {
  toJSON: (certificate) => Certificate.toJSON(certificate),
  nameOf: ({ name }) => name,
  columns: [
    { title: 'NAME', cell: ({ name }) => name },
    { title: 'HOSTS', cell: ({ hosts }) => hosts.join(' ') },
    { title: 'EXPIRES', cell: ({ notAfter }, nowMs) => expiryCell(notAfter, nowMs) },
    { title: 'SERVICES', cell: servicesOf },
    { title: 'KEY', cell: ({ keyType }) => keyType },
    {
      title: 'FROM',
      cell: ({ source }) => (source === CertificateSource.FOLDER ? 'folder' : ''),
      optional: true,
    },
    { title: 'FINGERPRINT', cell: ({ fingerprint }) => fingerprint.slice(0, 16) },
    { title: 'MESSAGE', cell: ({ warnings }) => warnings.join('; '), optional: true },
  ],
};

function servicesOf({ services, stranded }: Certificate): Cell {
  if (stranded) return { text: 'none left', tone: 'bad' };
  return services.join(' ') || 'all';
}

/** The day that it ends, and how far that is. */
export function expiryCell(notAfter: Date | undefined, nowMs: number): Cell {
  if (notAfter === undefined) return '';
  const date = notAfter.toISOString().slice(0, 10);
  const days = Math.floor((notAfter.getTime() - nowMs) / dayMs);
  if (days < 0) return { text: `${date} (expired)`, tone: 'bad' };
  return { text: `${date} (${days}d)`, tone: days < 7 ? 'bad' : days < 14 ? 'busy' : 'plain' };
}
