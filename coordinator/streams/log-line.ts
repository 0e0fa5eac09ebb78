import type { LogPosition } from '../../shared/log-place.ts';
import type { ContainerId } from '../../shared/ids.ts';

/** A line as an engine recorded it. */
export interface LogLine {
  readonly stream: 'stdout' | 'stderr';
  /** RFC 3339 in UTC with nine decimals: the text sorts by time. */
  readonly time: string;
  /** Without its end. */
  readonly data: Uint8Array;
  /** It goes on in the next line of the same stream. */
  readonly continued: boolean;
}

/** Which part of a log is asked for. */
export interface LogRange {
  readonly follow: boolean;
  /** Only so many of the newest lines; null: all. */
  readonly tail: number | null;
  readonly sinceMs: number | null;
  readonly untilMs: number | null;
}

/** What an agent is asked of the log of one container. */
export interface LogsOrder extends LogRange {
  readonly containerId: ContainerId;
  /** Go on after this place; tail and since do not count then. Null: as tail and since say. */
  readonly after: LogPosition | null;
}

/** What an agent tells on the stream of a log. */
export type LogReport =
  | { readonly kind: 'lines'; readonly lines: readonly LogLine[] }
  | { readonly kind: 'caught-up'; readonly position: LogPosition }
  | { readonly kind: 'end' }
  | {
      readonly kind: 'failure';
      readonly failure: 'engine-away' | 'missing' | 'refused';
      readonly message: string;
    };

/** What becomes of one container whose log is read, in order with its lines. */
export type LogNews =
  | { readonly kind: 'lines'; readonly lines: readonly LogLine[] }
  /** All that there was when it was asked for has been told. */
  | { readonly kind: 'caught-up'; readonly position: LogPosition }
  /** Nothing comes for now; it goes on by itself. */
  | { readonly kind: 'waiting'; readonly why: string }
  /** It comes again. */
  | { readonly kind: 'reading' }
  | { readonly kind: 'ended' }
  /** It could not be read to its end. */
  | { readonly kind: 'failed'; readonly why: string };
