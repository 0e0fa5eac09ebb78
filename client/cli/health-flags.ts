import { InvalidArgumentError } from 'commander';
import type { FlagGroup, OptionFlag } from './option-flags.ts';
import { readCheck, readCount, readDuration, readLabel } from './values.ts';

/** The details of a check by HTTP, of `readiness` or `liveness`. */
function httpFlags(of: 'readiness' | 'liveness'): readonly OptionFlag[] {
  const field = (name: string) => ({
    path: `${of}.check.value.${name}`,
    mask: `${of}.http.${name}`,
    also: { [of]: { check: { $case: 'http' } } },
  });
  return [
    { flags: `--${of}-method <method>`, description: 'asked by HTTP with', ...field('method') },
    { flags: `--${of}-host <host>`, description: 'header Host', ...field('host') },
    {
      ...{ flags: `--${of}-header <name=value>`, description: 'one more header, repeatable' },
      ...{ ...field('headers'), isMap: true, read: readLabel },
      keyOf: ([name]: readonly [string, string]) => name,
    },
    {
      ...{ flags: `--${of}-status <n>`, description: 'status that is expected, repeatable' },
      ...{ ...field('statuses'), read: readCount, keyOf: String },
    },
  ];
}

/** Flags for when a container may take traffic, and when it is restarted; Docker's where it has one. */
export const healthFlags: readonly FlagGroup[] = [
  [
    'Liveness (a container that fails it is drained and restarted):',
    [
      {
        ...{ flags: '--liveness <tcp|http:/path|grpc[:port]>', path: 'liveness.check' },
        ...{ description: 'how it is checked; ports as for --readiness', read: readLiveness },
      },
      {
        ...{ flags: '--health-cmd <command>', path: 'liveness.check', mask: 'liveness.command' },
        ...{ description: 'checked by a command of its shell', read: readCommand },
      },
      {
        ...{ flags: '--no-healthcheck', description: 'no check any more', path: 'liveness' },
        clears: true,
      },
      {
        ...{ flags: '--health-interval <duration>', description: 'time between two checks' },
        ...{ path: 'liveness.intervalMs', read: readDuration },
      },
      {
        ...{ flags: '--health-timeout <duration>', description: 'time until a check has failed' },
        ...{ path: 'liveness.timeoutMs', read: readDuration },
      },
      {
        ...{ flags: '--health-retries <n>', description: 'failed checks in a row that count' },
        ...{ path: 'liveness.failureThreshold', read: readCount },
      },
      {
        ...{ flags: '--health-successes <n>', description: 'passed checks that make up for them' },
        ...{ path: 'liveness.successThreshold', read: readCount },
      },
      {
        ...{ flags: '--health-start-period <duration>', description: 'time to start in peace' },
        ...{ path: 'liveness.startPeriodMs', read: readDuration },
      },
      ...httpFlags('liveness'),
    ],
  ],
  [
    'Details of readiness:',
    [
      {
        ...{ flags: '--readiness-successes <n>', description: 'passed checks in a row that count' },
        ...{ path: 'readiness.successThreshold', read: readCount },
      },
      {
        ...{ flags: '--readiness-start-period <duration>', read: readDuration },
        ...{ description: 'time in which nothing is taken back', path: 'readiness.startPeriodMs' },
      },
      ...httpFlags('readiness'),
    ],
  ],
];

function readLiveness(text: string): unknown {
  const check = readCheck(text);
  if (check === undefined) {
    throw new InvalidArgumentError(
      'It is tcp, tcp:PORT, http:PATH[:PORT], grpc, grpc:PORT or cmd:COMMAND.',
    );
  }
  return check;
}

function readCommand(text: string): unknown {
  return readLiveness(`cmd:${text}`);
}
