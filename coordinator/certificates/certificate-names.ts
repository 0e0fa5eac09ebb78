const maxLength = 64;
const pattern = /^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/;
/** What the system calls objects; a name of this form could stand for another one's id. */
const idPattern = /^[0-9a-f]{32}$/;

/** What is wrong with the name of a certificate, which often is that of a host; undefined: nothing. */
export function certificateNameRule(name: string): string | undefined {
  if (name === '') return 'is required';
  if (name.length > maxLength) return `must have at most ${maxLength} characters`;
  if (!pattern.test(name)) {
    return `must be lower-case letters, digits, ".", "-" and "_", with a letter or digit first and last, and is ${JSON.stringify(name)}`;
  }
  return idPattern.test(name) ? 'must not have the form of an id' : undefined;
}
