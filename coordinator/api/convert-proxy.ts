import {
  ProxyLoadingKind,
  type ProxyHistory as ProtoHistory,
} from '../../shared/gen/fairlead/v1/load_balancer.ts';
import type { ProxyHistory } from '../routing/proxy-record.ts';
import { momentOf, words } from './agent-words.ts';

/** More than an agent keeps. */
const maxLoadings = 32;

const kinds = {
  unknown: ProxyLoadingKind.UNSPECIFIED,
  adopt: ProxyLoadingKind.ADOPT,
  start: ProxyLoadingKind.START,
  reload: ProxyLoadingKind.RELOAD,
} as const;

/** Reads what a proxy says of its past. */
export function historyFromProto(history: ProtoHistory): ProxyHistory {
  const { reloads, restarts, loadings, lastError, lastErrorAt } = history;
  return {
    ...{ reloads, restarts, lastError: words(lastError), lastErrorAt: dateOf(lastErrorAt) },
    loadings: loadings.slice(0, maxLoadings).map(({ at, kind, reason }) => ({
      at: dateOf(at) ?? new Date(0),
      kind: kindOf(kind),
      reason: words(reason),
    })),
  };
}

/** Says it to users. */
export function historyToProto(history: ProxyHistory): ProtoHistory {
  return {
    ...history,
    loadings: history.loadings.map(({ kind, ...loading }) => ({ ...loading, kind: kinds[kind] })),
  };
}

/** Undefined: none, or none that a calendar has. */
function dateOf(date: Date | undefined): Date | undefined {
  return momentOf(date) === null ? undefined : date;
}

function kindOf(kind: ProxyLoadingKind): ProxyHistory['loadings'][number]['kind'] {
  switch (kind) {
    case ProxyLoadingKind.ADOPT:
      return 'adopt';
    case ProxyLoadingKind.START:
      return 'start';
    case ProxyLoadingKind.RELOAD:
      return 'reload';
    case ProxyLoadingKind.UNSPECIFIED:
    default:
      return 'unknown';
  }
}
