import { ServiceSpec, type FieldChange } from '../../shared/gen/fairlead/v1/service.ts';

/** The fields in which two definitions differ, by path, in the names that the contract's JSON has. */
export function diffOf(before: ServiceSpec, after: ServiceSpec): FieldChange[] {
  const [old, fresh] = [before, after].map((spec) => leavesOf(ServiceSpec.toJSON(spec)));
  if (old === undefined || fresh === undefined) return [];
  const paths = [...new Set([...old.keys(), ...fresh.keys()])].sort();
  return paths
    .map((path) => ({ path, before: old.get(path) ?? '', after: fresh.get(path) ?? '' }))
    .filter((change) => change.before !== change.after);
}

/** Every value that is no message itself, as JSON. */
function leavesOf(value: unknown, path = '', into = new Map<string, string>()) {
  const named = namedEntries(value, path);
  if (named === undefined) {
    into.set(path, JSON.stringify(value));
    return into;
  }
  for (const [name, inner] of named) {
    // An empty list or message is one that is not there.
    if (Array.isArray(inner) && inner.length === 0) continue;
    leavesOf(inner, path === '' ? name : `${path}.${name}`, into);
  }
  return into;
}

/** The parts of a message, and of a list whose entries have names of their own. */
function namedEntries(value: unknown, path: string): (readonly [string, unknown])[] | undefined {
  if (Array.isArray(value)) {
    const keyOf = listKeys[path];
    return keyOf && value.map((item: Record<string, unknown>) => [keyOf(item), item] as const);
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const entries = Object.entries(value);
  return entries.length === 0 && path !== '' ? undefined : entries;
}

const listKeys: Readonly<Record<string, (item: Record<string, unknown>) => string>> = {
  ports: ({ containerPort, protocol }) =>
    `${String(containerPort)}/${protocol === 'PORT_PROTOCOL_UDP' ? 'udp' : 'tcp'}`,
  links: ({ alias }) => String(alias),
};
