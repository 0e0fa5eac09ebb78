/** Who is let in, and who cannot be. */
export interface ImportedPasswords {
  readonly users: readonly { readonly name: string; readonly passwordHash: string }[];
  /** Of which variable, who, and why not. It shows no password. */
  readonly unusable: readonly {
    readonly variable: string;
    readonly who: string;
    readonly why: string;
  }[];
}

/** Where passwords of dockercloud/haproxy are: as they are, and as hashes. */
export const passwordVariables = ['HTTP_BASIC_AUTH', 'HTTP_BASIC_AUTH_SECURE'] as const;

const nameRule = 'a name has letters, digits, "_", ".", "@" and "-" alone, and a password after it';

/** Reads `USER:PASSWORD` and `USER:HASH` entries; of two for one user the hash counts. */
export function readPasswords(
  plain: readonly string[],
  secure: readonly string[],
  hashOf: (password: string) => string,
): ImportedPasswords {
  const users = new Map<string, string>();
  const unusable: { variable: string; who: string; why: string }[] = [];
  const [plainName, secureName] = passwordVariables;
  for (const text of secure) {
    const [, name = '', hash = ''] = /^([^:]*):(\$[56]\$.+)$/.exec(text) ?? [];
    if (isName(name)) users.set(name, hash);
    else {
      const why = 'not a hash of openssl passwd -6 or -5';
      unusable.push({ variable: secureName, who: whoIn(text), why });
    }
  }
  for (const text of plain) {
    const [, name = '', password = ''] = /^([^:]*):(.+)$/s.exec(text) ?? [];
    if (!isName(name)) unusable.push({ variable: plainName, who: whoIn(text), why: nameRule });
    else if (!users.has(name)) users.set(name, hashOf(password));
  }
  return { users: [...users].map(([name, passwordHash]) => ({ name, passwordHash })), unusable };
}

function isName(name: string): boolean {
  return /^[A-Za-z0-9_.@-]{1,100}$/.test(name);
}

/** Without a colon it may be a password, which is not to be shown. */
function whoIn(text: string): string {
  return /^[^:]+(?=:)/.exec(text)?.[0] ?? 'one without a name';
}
