import { pino, type DestinationStream, type Logger } from 'pino';

export type { Logger } from 'pino';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** Field names whose values never reach a log, wherever they stand in the first three levels. */
const secretFields = ['token', 'secret', 'authorization', 'password', 'env', 'environment'];

/**
 * The root logger of a process: one JSON line an event on stdout.
 *
 * Each part takes `log.child({ component })` in its deps; there is no global logger.
 */
export function createLogger(
  options: { readonly level: LogLevel; readonly process: string },
  destination?: DestinationStream,
): Logger {
  return pino(
    {
      level: options.level,
      base: { process: options.process },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: secretFields.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]),
        censor: '[redacted]',
      },
    },
    destination ?? pino.destination({ fd: 1, sync: false }),
  );
}
