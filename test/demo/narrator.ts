import { styleText } from 'node:util';
import type { Narrator } from '../tutorial/report.ts';

/** Prints what the demo does and sees, for people. It falls silent when the demo is told to stop. */
export function terminalNarrator(stream: NodeJS.WriteStream, signal: AbortSignal): Narrator {
  const paint = (format: Parameters<typeof styleText>[0], text: string) =>
    stream.isTTY ? styleText(format, text) : text;
  const write = (text: string) => {
    if (!signal.aborted) stream.write(text);
  };
  return {
    step: (title) => {
      write(`\n${paint('bold', `Step ${title}`)}\n`);
    },
    command: (line) => {
      write(`  ${paint('cyan', `$ ${line}`)}\n`);
    },
    check: ({ id, ok, seen }, what) => {
      const mark = ok ? paint('green', '✔') : paint('red', '✘');
      write(`  ${mark} ${id} ${what}\n      ${paint('dim', seen.replaceAll('\n', '\n      '))}\n`);
    },
  };
}
