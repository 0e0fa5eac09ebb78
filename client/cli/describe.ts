import { oneLine } from './table.ts';

const enumPrefixes =
  /^(?:SERVICE_STATE|CONTAINER_PHASE|NODE_STATE|NODE_CLUSTER_STATE|ACTION_STATE|AVAILABILITY|PLACEMENT_STRATEGY|RESTART_POLICY|API_ROLE|PORT_PROTOCOL|UPDATE_ORDER|FAILURE_ACTION|ROLLOUT_STATE|NETWORK_MODE|PID_MODE|ENDPOINT_KIND|TARGET_MODE|TARGET_HEALTH|AUTHORITY_STATE|ROLE)_(?<name>[A-Z_]+)$/;

/** Lines that show a JSON value to a person: keys in words, nested values indented. */
export function describe(value: unknown, indent = ''): string[] {
  if (Array.isArray(value)) return value.flatMap((item) => describeItem(item, indent));
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value).flatMap(([key, inner]) => describeEntry(key, inner, indent));
  }
  return [`${indent}${scalarWords(value)}`];
}

function describeEntry(key: string, value: unknown, indent: string): string[] {
  if (typeof value !== 'object' || value === null) {
    return [`${indent}${key}: ${scalarWords(value)}`];
  }
  const lines = describe(value, `${indent}  `);
  return lines.length === 0 ? [`${indent}${key}: {}`] : [`${indent}${key}:`, ...lines];
}

function describeItem(item: unknown, indent: string): string[] {
  const [first = '', ...rest] = describe(item, `${indent}  `);
  return [`${indent}- ${first.trimStart()}`, ...rest];
}

function scalarWords(value: unknown): string {
  if (typeof value !== 'string') return String(value);
  const name = enumPrefixes.exec(value)?.groups?.['name'];
  return name === undefined ? oneLine(value) : name.toLowerCase().replaceAll('_', ' ');
}
