import type { ReadStream } from 'node:tty';
import { CommandFailure, exitStatus } from './exit-status.ts';

const maxBytes = 64 * 1024;

/** Where a secret comes from, and where to ask for it. */
export interface SecretStreams {
  readonly stdin: NodeJS.ReadStream;
  readonly stderr: { write(text: string): unknown };
}

/** Reads a secret that is not to be seen: what is piped in, else what is typed at a prompt, without echo. */
export async function readSecret(
  prompt: string,
  { stdin, stderr }: SecretStreams,
  signal: AbortSignal,
): Promise<string> {
  if (stdin.isTTY) return await type(prompt, stdin, stderr, signal);
  let text = '';
  for await (const chunk of stdin.setEncoding('utf8')) {
    text += chunk as string;
    if (text.length > maxBytes) throw new CommandFailure(exitStatus.usage, 'that is no token');
  }
  return text.trim();
}

/** The terminal is as it was afterwards, however it ends. */
async function type(
  prompt: string,
  terminal: ReadStream,
  stderr: SecretStreams['stderr'],
  signal: AbortSignal,
): Promise<string> {
  // First: who types as soon as they are asked is not shown either.
  terminal.setRawMode(true).setEncoding('utf8');
  stderr.write(prompt);
  let typed = '';
  try {
    return await new Promise((resolve, reject) => {
      const interrupted = () => {
        reject(new CommandFailure(exitStatus.interrupted, ''));
      };
      signal.addEventListener('abort', interrupted, { once: true });
      terminal.on('data', (text: string) => {
        for (const key of text) {
          if (key === '\r' || key === '\n' || key === '\u0004') resolve(typed.trim());
          else if (key === '\u0003') interrupted();
          else if (key === '\u007f' || key === '\b') typed = typed.slice(0, -1);
          else typed += key;
        }
      });
    });
  } finally {
    terminal.removeAllListeners('data').setRawMode(false).pause();
    stderr.write('\n');
  }
}
