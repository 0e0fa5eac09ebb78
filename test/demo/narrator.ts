import { styleText } from 'node:util';
import type { Narrator } from '../tutorial/report.ts';

/** Prints what the demo does and sees, for people. */
export function terminalNarrator(stream: NodeJS.WriteStream): Narrator {
  const paint = (format: Parameters<typeof styleText>[0], text: string) =>
    stream.isTTY ? styleText(format, text) : text;
  return {
    step: (title) => {
      stream.write(`\n${paint('bold', `Step ${title}`)}\n`);
    },
    command: (line) => {
      stream.write(`  ${paint('cyan', `$ ${line}`)}\n`);
    },
    check: ({ id, ok, seen }, what) => {
      const mark = ok ? paint('green', '✔') : paint('red', '✘');
      stream.write(
        `  ${mark} ${id} ${what}\n      ${paint('dim', seen.replaceAll('\n', '\n      '))}\n`,
      );
    },
  };
}
