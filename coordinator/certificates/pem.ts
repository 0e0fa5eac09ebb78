/** One block of a PEM file. */
export interface PemBlock {
  /** `CERTIFICATE`, `EC PRIVATE KEY`. */
  readonly label: string;
  /** The whole block with its lines, and nothing around it. */
  readonly text: string;
  /** Its key is encrypted with a passphrase. */
  readonly encrypted: boolean;
}

/** One pass over the text, whatever is in it: a pattern of a whole block would look for each end anew. */
const marks = /-----(BEGIN|END) ([A-Z0-9 ]{1,64})-----/g;
const lineLength = 64;

/**
 * The blocks of a PEM text in their order, each without blank lines and of lines that are all as long. What
 * stands between them, as some tools print, is left out.
 */
export function pemBlocks(text: string): PemBlock[] {
  const found = [...text.matchAll(marks)];
  return found.flatMap((begin, index) => {
    const [, side, label = ''] = begin;
    const end = found[index + 1];
    if (side !== 'BEGIN' || end?.[1] !== 'END' || end[2] !== label) return [];
    const body = text.slice(begin.index + begin[0].length, end.index);
    const encrypted = label.startsWith('ENCRYPTED ') || /^Proc-Type:.*ENCRYPTED/m.test(body);
    const base64 = body.replaceAll(/\s/g, '');
    const lines = base64.match(new RegExp(`.{1,${lineLength}}`, 'g')) ?? [];
    const block = [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
    return [{ label, text: block, encrypted }];
  });
}

/** Whether a block holds a certificate, or a private key. */
export function kindOf({ label }: PemBlock): 'certificate' | 'key' | 'other' {
  if (/^(X509 |TRUSTED )?CERTIFICATE$/.test(label)) return 'certificate';
  return label.endsWith('PRIVATE KEY') ? 'key' : 'other';
}

/** Whether a block begins that does not end, as in a file that was cut short or is being written. */
export function isCutShort(text: string): boolean {
  return text.split('-----BEGIN').length - 1 > pemBlocks(text).length;
}
