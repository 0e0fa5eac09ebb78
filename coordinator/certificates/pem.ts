/** One block of a PEM file. */
export interface PemBlock {
  /** `CERTIFICATE`, `EC PRIVATE KEY`. */
  readonly label: string;
  /** The whole block with its lines, and nothing around it. */
  readonly text: string;
  /** Its key is encrypted with a passphrase. */
  readonly encrypted: boolean;
}

const blockPattern = /-----BEGIN ([A-Z0-9 ]+)-----([\s\S]*?)-----END \1-----/g;
const lineLength = 64;

/**
 * The blocks of a PEM text in their order, each without blank lines and of lines that are all as long. What
 * stands between them, as some tools print, is left out.
 */
export function pemBlocks(text: string): PemBlock[] {
  return [...text.matchAll(blockPattern)].map(([, label = '', body = '']) => {
    const encrypted = label.startsWith('ENCRYPTED ') || /^Proc-Type:.*ENCRYPTED/m.test(body);
    const base64 = body.replaceAll(/\s/g, '');
    const lines = base64.match(new RegExp(`.{1,${lineLength}}`, 'g')) ?? [];
    const block = [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
    return { label, text: block, encrypted };
  });
}

/** Whether a block holds a certificate, or a private key. */
export function kindOf({ label }: PemBlock): 'certificate' | 'key' | 'other' {
  if (/^(X509 |TRUSTED )?CERTIFICATE$/.test(label)) return 'certificate';
  return label.endsWith('PRIVATE KEY') ? 'key' : 'other';
}
