/** Tags of ASN.1 (X.690) that are written here. */
export const derTag = {
  integer: 0x02,
  bitString: 0x03,
  objectId: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  sequence: 0x30,
  set: 0x31,
  firstOfContext: 0xa0,
} as const;

/** The name of signatures by ECDSA with SHA-256: 1.2.840.10045.4.3.2. */
export const ecdsaWithSha256 = Buffer.of(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02);

/** One value in the distinguished encoding: tag, length, content. */
export function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const lengths = length < 0x80 ? [length] : [0x82, length >> 8, length & 0xff];
  if (length >= 0x80 && length < 0x100) lengths.splice(0, 2, 0x81);
  return Buffer.concat([Buffer.of(tag, ...lengths), content]);
}

/** A value as text between lines that say what it is. */
export function pemOf(label: string, value: Buffer): string {
  const lines = value.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
