/** A line as an engine recorded it. */
export interface LogLine {
  readonly stream: 'stdout' | 'stderr';
  /** RFC 3339 in UTC with nine decimals. */
  readonly time: string;
  /** Without its end. */
  readonly data: Buffer;
  /** It goes on in the next line of the same stream. */
  readonly continued: boolean;
}

/** What an engine is asked of a log. */
export interface EngineLogQuery {
  readonly follow: boolean;
  /** Only so many of the newest lines; undefined: all. */
  readonly tail: number | undefined;
  /** Seconds since 1970, with decimals; lines of exactly this time are included. */
  readonly since: string | undefined;
  readonly until: string | undefined;
}

/** The request for a log, in Docker's words. */
export function logRequest(engineId: string, { follow, tail, since, until }: EngineLogQuery) {
  return {
    path: `/containers/${engineId}/logs?`,
    method: 'GET',
    isStream: true,
    statusCodes: { 200: true },
    options: {
      stdout: true,
      stderr: true,
      timestamps: true,
      follow,
      tail: tail ?? 'all',
      ...(since !== undefined && { since }),
      ...(until !== undefined && { until }),
    },
  };
}

/** Reads the log of a container, whose form depends on whether it has a terminal. */
export function logParser({ hasTerminal }: { readonly hasTerminal: boolean }): LogParser {
  return hasTerminal ? new PlainLogParser() : new FramedLogParser();
}

/** Docker breaks lines at this length, each part with a time of its own. */
const longestPart = 16_384;
const frameHeaderBytes = 8;
const newline = 0x0a;
const carriageReturn = 0x0d;
/** `2026-11-22T14:20:34.123456789Z `, or with an offset for the Z. */
const timeForm = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9})(Z|[+-]\d\d:\d\d) /;
const longestTime = '2026-11-22T14:20:34.123456789+00:00 '.length;

/** Takes lines out of the bytes of a log, however the chunks fall; holds one part of a line at most. */
interface LogParser {
  /** The lines that are whole with this chunk. */
  push(chunk: Buffer): LogLine[];
  /** What is left at the end. */
  end(): LogLine[];
}

/** The log of a container without a terminal: one frame a record, with its stream and its length. */
class FramedLogParser implements LogParser {
  #rest: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): LogLine[] {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const lines: LogLine[] = [];
    let at = 0;
    while (bytes.length - at >= frameHeaderBytes) {
      const end = at + frameHeaderBytes + bytes.readUInt32BE(at + 4);
      if (bytes.length < end) break;
      const stream = bytes.readUInt8(at) === 2 ? 'stderr' : 'stdout';
      lines.push(recordOf(stream, bytes.subarray(at + frameHeaderBytes, end)));
      at = end;
    }
    this.#rest = Buffer.from(bytes.subarray(at));
    return lines;
  }

  end(): LogLine[] {
    return [];
  }
}

/** The log of a container with a terminal: nothing but lines, each part of a long one with its time. */
class PlainLogParser implements LogParser {
  #rest: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): LogLine[] {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const lines: LogLine[] = [];
    for (;;) {
      const length = lengthOfPart(bytes);
      if (length === undefined) break;
      lines.push(recordOf('stdout', bytes.subarray(0, length), carriageReturn));
      bytes = bytes.subarray(length);
    }
    this.#rest = Buffer.from(bytes);
    return lines;
  }

  end(): LogLine[] {
    const rest = this.#rest;
    this.#rest = Buffer.alloc(0);
    return rest.length === 0 ? [] : [recordOf('stdout', rest, carriageReturn)];
  }
}

/** Up to and with the end of a line, or as much of a long line as has one time; undefined: not whole yet. */
function lengthOfPart(bytes: Buffer): number | undefined {
  const timeLength = timeAt(bytes)?.[0].length ?? 0;
  const limit = timeLength + longestPart;
  const end = bytes.indexOf(newline);
  if (end !== -1 && end <= limit) return end + 1;
  // What comes next tells whether the line ends here, or goes on with another time.
  return bytes.length > limit + longestTime ? limit : undefined;
}

function recordOf(stream: LogLine['stream'], record: Buffer, beforeEnd?: number): LogLine {
  const found = timeAt(record);
  const start = found?.[0].length ?? 0;
  const isWhole = record.at(-1) === newline;
  let end = isWhole ? record.length - 1 : record.length;
  if (isWhole && beforeEnd !== undefined && end > start && record.at(end - 1) === beforeEnd) end--;
  return {
    stream,
    time: found === null ? '' : utcOf(found),
    // A copy: the chunk that it lies in is not to be kept for it.
    data: Buffer.from(record.subarray(start, end)),
    continued: !isWhole && record.length - start >= longestPart,
  };
}

function timeAt(bytes: Buffer): RegExpExecArray | null {
  return timeForm.exec(bytes.toString('latin1', 0, longestTime));
}

function utcOf([, local = '', zone = '']: RegExpExecArray): string {
  if (zone === 'Z') return `${local}Z`;
  const seconds = new Date(`${local.slice(0, 19)}${zone}`).toISOString().slice(0, 19);
  return `${seconds}${local.slice(19)}Z`;
}
