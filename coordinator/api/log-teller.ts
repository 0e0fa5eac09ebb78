import { LogSourceState, type LogEntry, type LogSource } from '../../shared/gen/fairlead/v1/log.ts';
import type { ContainerId, NodeId } from '../../shared/ids.ts';
import type { LogPosition } from '../../shared/log-place.ts';
import type { Container } from '../model.ts';
import type { Store } from '../store/store.ts';
import type { LogMerge, Merged, Standing } from '../streams/log-merge.ts';
import { LogTail } from '../streams/log-tail.ts';
import { entryToProto } from './convert-logs.ts';

/** Lines in one message, when many are known at once. */
const perMessage = 250;

/** What both answers with logs have. */
export interface LogMessage {
  readonly entries: LogEntry[];
  readonly sources: LogSource[];
}

export interface LogTellerDeps {
  readonly store: Store;
  readonly merge: LogMerge;
  /** All that were ever added, by id. */
  readonly members: ReadonlyMap<ContainerId, Container>;
}

/** Tells what comes of merged logs in the words of the API. */
export class LogTeller {
  readonly #deps: LogTellerDeps;
  readonly #tail: LogTail | null;
  readonly #standings = new Map<ContainerId, Standing>();

  /** `tail`: of what there is at the beginning only so many lines, the newest; null: all. */
  constructor(deps: LogTellerDeps, { tail }: { readonly tail: number | null }) {
    this.#deps = deps;
    this.#tail = tail === null || !deps.merge.isHolding ? null : new LogTail(tail);
  }

  async *read(signal: AbortSignal): AsyncGenerator<LogMessage> {
    const { merge, members } = this.#deps;
    const reading: Standing = { kind: 'reading', position: null };
    yield { entries: [], sources: [...members.keys()].map((id) => this.#source(id, reading)) };
    let isHeldBack = this.#tail !== null;
    for await (const merged of merge.read(signal)) {
      if (!isHeldBack) {
        yield* this.#messages(merged);
        continue;
      }
      this.#holdBack(merged);
      if (merge.isHolding) continue;
      isHeldBack = false;
      yield* this.#release();
    }
  }

  /** What becomes of a log is told after its lines before and before its lines after that. */
  *#messages(merged: readonly Merged[]): Generator<LogMessage> {
    let entries: LogEntry[] = [];
    let sources: LogSource[] = [];
    for (const each of merged) {
      if (each.kind === 'standing') {
        if (entries.length > 0) {
          yield { entries, sources };
          entries = [];
          sources = [];
        }
        sources.push(this.#source(each.id, each.standing));
      } else {
        entries.push(this.#entry(each.id, each.line));
      }
    }
    if (entries.length + sources.length > 0) yield { entries, sources };
  }

  #holdBack(merged: readonly Merged[]): void {
    for (const each of merged) {
      if (each.kind === 'line') this.#tail?.add(each.id, each.line);
      else this.#standings.set(each.id, each.standing);
    }
  }

  *#release(): Generator<LogMessage> {
    const tail = this.#tail;
    const sources = [...this.#standings].map(([id, standing]) => {
      const known = standing.kind === 'reading' ? standing.position : null;
      return this.#source(id, standing, tail?.startOf(id) ?? known);
    });
    yield { entries: [], sources };
    const entries = (tail?.lines ?? []).map(({ id, line }) => this.#entry(id, line));
    for (let start = 0; start < entries.length; start += perMessage) {
      yield { entries: entries.slice(start, start + perMessage), sources: [] };
    }
  }

  #entry(id: ContainerId, line: Parameters<typeof entryToProto>[0]): LogEntry {
    return entryToProto(line, { id, name: this.#deps.members.get(id)?.name ?? '' });
  }

  #source(
    id: ContainerId,
    standing: Standing,
    position = standing.kind === 'reading' ? standing.position : null,
  ): LogSource {
    const { store, members } = this.#deps;
    const known = members.get(id);
    const nodeId = store.containers.get(id)?.nodeId ?? known?.nodeId ?? null;
    return {
      containerId: id,
      container: known?.name ?? '',
      node: nameOf(store, nodeId),
      state: states[standing.kind],
      message: 'why' in standing ? standing.why : '',
      position: positionToProto(id, position),
    };
  }
}

function nameOf(store: Store, nodeId: NodeId | null): string {
  return nodeId === null ? '' : (store.nodes.get(nodeId)?.name ?? '');
}

function positionToProto(containerId: ContainerId, position: LogPosition | null) {
  return position === null ? undefined : { ...position, containerId };
}

const states = {
  reading: LogSourceState.READING,
  waiting: LogSourceState.WAITING,
  ended: LogSourceState.ENDED,
  failed: LogSourceState.FAILED,
} as const satisfies Record<Standing['kind'], LogSourceState>;
