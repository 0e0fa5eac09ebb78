/** The API versions that this agent was written for, and the engine release of the older one. */
export const oldestApiVersion = '1.41';
export const newestApiVersion = '1.47';
const oldestEngine = '20.10';

/** The part of an engine's answer to /version that matters here. */
export interface EngineVersions {
  readonly engineVersion: string;
  readonly apiVersion: string;
  /** The oldest that the engine still speaks; empty if it does not say. */
  readonly minApiVersion: string;
}

export type Negotiation =
  | { readonly kind: 'agreed'; readonly apiVersion: string }
  | { readonly kind: 'refused'; readonly reason: string };

/** The newest API version that both sides speak, or why there is none. */
export function negotiateApiVersion({
  engineVersion,
  apiVersion,
  minApiVersion,
}: EngineVersions): Negotiation {
  if (isOlder(apiVersion, oldestApiVersion)) {
    return {
      kind: 'refused',
      reason: `Docker Engine ${engineVersion} is too old (API ${apiVersion || 'unknown'}): upgrade it to ${oldestEngine} (API ${oldestApiVersion}) or newer`,
    };
  }
  if (minApiVersion !== '' && isOlder(newestApiVersion, minApiVersion)) {
    return {
      kind: 'refused',
      reason: `Docker Engine ${engineVersion} no longer speaks API ${newestApiVersion}, the newest that this agent knows: upgrade the agent`,
    };
  }
  return {
    kind: 'agreed',
    apiVersion: isOlder(apiVersion, newestApiVersion) ? apiVersion : newestApiVersion,
  };
}

function isOlder(left: string, right: string): boolean {
  const [leftMajor, leftMinor] = partsOf(left);
  const [rightMajor, rightMinor] = partsOf(right);
  return leftMajor < rightMajor || (leftMajor === rightMajor && leftMinor < rightMinor);
}

/** What is no version counts as older than any. */
function partsOf(version: string): [number, number] {
  const match = /^(\d+)\.(\d+)$/.exec(version);
  return match === null ? [0, 0] : [Number(match[1]), Number(match[2])];
}
