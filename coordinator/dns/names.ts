import { shortId } from '../../shared/ids.ts';

/** What a name in the zone is about. Short ids are the first eight digits of the object's id. */
export type ZoneName =
  | { readonly kind: 'apex' }
  | { readonly kind: 'name-server' }
  | { readonly kind: 'service'; readonly name: string; readonly shortId: string | null }
  | { readonly kind: 'container'; readonly name: string; readonly shortId: string | null }
  | { readonly kind: 'node'; readonly name: string }
  /** A service, else a container, that is called so. */
  | { readonly kind: 'either'; readonly name: string }
  /** Has no records, and names below it may have. */
  | { readonly kind: 'branch' }
  | { readonly kind: 'none' };

/** The host that answers for the zone. Two labels, so that no service can take its place. */
export const nameServer = 'ns.dns';

const branches = new Set(['svc', 'cont', 'node', 'dns']);
const shortIdPattern = /^[0-9a-f]{8}$/;

/** Reads a name in lower case; null if it is not in the zone. */
export function readName(name: string, zone: string): ZoneName | null {
  if (name === zone) return { kind: 'apex' };
  if (!name.endsWith(`.${zone}`)) return null;
  const own = name.slice(0, -zone.length - 1);
  if (own === nameServer) return { kind: 'name-server' };
  const labels = own.split('.');
  switch (labels.length) {
    case 1:
      return branches.has(own) ? { kind: 'branch' } : { kind: 'either', name: own };
    case 2:
      return readTwo(labels);
    case 3:
      return readThree(labels);
    default:
      return { kind: 'none' };
  }
}

function readTwo([first = '', second = '']: readonly string[]): ZoneName {
  if (second === 'node') return { kind: 'node', name: first };
  const isBranch = (second === 'svc' || second === 'cont') && shortIdPattern.test(first);
  return { kind: isBranch ? 'branch' : 'none' };
}

function readThree([name = '', short = '', branch]: readonly string[]): ZoneName {
  if (!shortIdPattern.test(short)) return { kind: 'none' };
  if (branch === 'svc') return { kind: 'service', name, shortId: short };
  if (branch === 'cont') return { kind: 'container', name, shortId: short };
  return { kind: 'none' };
}

/** Whether an object is the one that a name tells by its short id; without one any is. */
export function isNamed(id: string, short: string | null): boolean {
  return short === null || shortId(id) === short;
}
