import type { FieldViolation } from '../../shared/errors.ts';
import {
  ExecCommand as ProtoExecCommand,
  type ExecInput as ProtoExecInput,
  type ExecOutput as ProtoExecOutput,
  type TerminalSize as ProtoTerminalSize,
} from '../../shared/gen/fairlead/v1/exec.ts';
import type { ExecOrder as ProtoExecOrder } from '../../shared/gen/fairlead/v1/agent_service.ts';
import type {
  ExecCommand,
  ExecInput,
  ExecOrder,
  ExecReport,
  TerminalSize,
} from '../streams/exec-order.ts';
import { validateText } from './validate.ts';

const maxWords = 1_000;
const maxWordBytes = 128 * 1024;
const maxNameBytes = 256;
const maxPathBytes = 4_096;
const maxVariables = 1_000;
/** What a terminal can have: 16 bits. */
const maxCharacters = 65_535;
const nameForm = /^[A-Za-z_][A-Za-z0-9_.-]*$/;

/** Names of the signals that may be sent. */
const signals = new Set(['HUP', 'INT', 'QUIT', 'TERM', 'KILL', 'USR1', 'USR2']);

export function commandFromProto(
  given: ProtoExecCommand | undefined,
  into: FieldViolation[],
): ExecCommand {
  const { size, ...command } = given ?? ProtoExecCommand.create();
  validateWords(command.command, into);
  const user = { maxBytes: maxNameBytes, field: 'start.command.user', line: true };
  validateText(command.user, user, into);
  const place = { maxBytes: maxPathBytes, field: 'start.command.working_dir', line: true };
  validateText(command.workingDir, place, into);
  validateEnvironment(command.environment, into);
  return { ...command, size: size === undefined ? null : sizeOf(size) };
}

function validateWords(words: readonly string[], into: FieldViolation[]): void {
  const field = 'start.command.command';
  if (words.length === 0 || words[0] === '') {
    into.push({ field, rule: 'is required: a program and its arguments' });
  }
  if (words.length > maxWords) into.push({ field, rule: `must have at most ${maxWords} words` });
  for (const [index, word] of words.entries()) {
    validateText(word, { maxBytes: maxWordBytes, field: `${field}[${index}]`, line: false }, into);
  }
}

/** Values are in no message: they may be secrets. */
function validateEnvironment(
  environment: Readonly<Record<string, string>>,
  into: FieldViolation[],
): void {
  const field = 'start.command.environment';
  const names = Object.keys(environment);
  if (names.length > maxVariables) {
    into.push({ field, rule: `must have at most ${maxVariables} variables` });
  }
  for (const name of names) {
    if (!nameForm.test(name)) {
      into.push({ field: `${field}["${name}"]`, rule: 'must be named by letters, digits and _' });
    }
  }
}

/** Undefined for what this version does not know, and for what cannot be meant. */
export function inputFromProto({ input }: ProtoExecInput): ExecInput | undefined {
  switch (input?.$case) {
    case 'stdin':
      return { kind: 'stdin', data: input.value };
    case 'stdinEnd':
      return { kind: 'stdin-end' };
    case 'resize':
      return { kind: 'resize', size: sizeOf(input.value) };
    case 'signal':
      return signals.has(input.value) ? { kind: 'signal', name: input.value } : undefined;
    case undefined:
      return undefined;
  }
}

export function inputToProto(input: ExecInput): ProtoExecInput {
  switch (input.kind) {
    case 'stdin':
      return { input: { $case: 'stdin', value: Buffer.from(input.data) } };
    case 'stdin-end':
      return { input: { $case: 'stdinEnd', value: {} } };
    case 'resize':
      return { input: { $case: 'resize', value: input.size } };
    case 'signal':
      return { input: { $case: 'signal', value: input.name } };
  }
}

export function execOrderToProto({ containerId, command }: ExecOrder): ProtoExecOrder {
  return {
    containerId,
    command: {
      ...command,
      command: [...command.command],
      environment: { ...command.environment },
      size: command.size ?? undefined,
    },
  };
}

export function outputToProto(
  report: Extract<ExecReport, { kind: 'stdout' | 'stderr' | 'exit' }>,
): ProtoExecOutput {
  switch (report.kind) {
    case 'stdout':
      return { output: { $case: 'stdout', value: Buffer.from(report.data) } };
    case 'stderr':
      return { output: { $case: 'stderr', value: Buffer.from(report.data) } };
    case 'exit':
      return { output: { $case: 'exit', value: { code: report.code } } };
  }
}

function sizeOf({ rows, columns }: ProtoTerminalSize): TerminalSize {
  const within = (value: number) => Math.min(Math.max(value, 1), maxCharacters);
  return { rows: within(rows), columns: within(columns) };
}
