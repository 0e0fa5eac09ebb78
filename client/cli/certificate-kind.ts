import { Certificate, CertificateSource } from '../../shared/gen/fairlead/v1/tls.ts';
import { expiryCell } from './certificate-cells.ts';
import type { Kind } from './kinds.ts';
import type { Cell } from './table.ts';

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
