/** What a run of the command line ended with, for scripts. */
export const exitStatus = {
  done: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  notAllowed: 4,
  conflict: 5,
  timedOut: 6,
  unreachable: 7,
  interrupted: 130,
  terminated: 143,
} as const;

export type ExitStatus = (typeof exitStatus)[keyof typeof exitStatus];

/** Ends the command with a status and words on stderr; without words, quietly. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
  /** One of ours, or that of a command that was run inside of a container. */
  readonly status: number;
  /** Lines that follow the message: what to do next. */
  readonly hints: readonly string[];

  constructor(status: number, message: string, hints: readonly string[] = []) {
    super(message);
    this.status = status;
    this.hints = hints;
  }
}
