import type { Container, Node, Service } from '../model.ts';

// Templates in values of a definition: `{{.Slot}}` and its like, in Go's notation, because that is how
// people know them from Docker. The set is fixed, and nothing is computed.

/** What the templates of one container stand for. */
interface TemplateValues {
  readonly serviceId: string;
  readonly serviceName: string;
  readonly containerId: string;
  readonly containerName: string;
  readonly slot: number;
  readonly revision: number;
  readonly nodeId: string;
  readonly nodeName: string;
  /** What the host calls itself. */
  readonly nodeHostname: string;
}

/** What the templates of a container on a node stand for. */
export function templateValues(service: Service, container: Container, node: Node): TemplateValues {
  return {
    serviceId: service.id,
    serviceName: service.name,
    containerId: container.id,
    containerName: container.name,
    slot: container.slot,
    revision: container.revision,
    nodeId: node.id,
    nodeName: node.name,
    nodeHostname: node.description?.hostname ?? node.name,
  };
}

/** The host name inside a container; empty: its own name. */
export function hostnameOf(service: Service, container: Container, node: Node): string {
  const { hostname } = service.spec.container;
  if (hostname === '') return '';
  return fitHostname(expandTemplates(hostname, templateValues(service, container, node)));
}

type Known = Partial<TemplateValues>;

const values: ReadonlyMap<string, (known: Known) => string | undefined> = new Map<
  string,
  (known: Known) => string | undefined
>([
  ['.Service.ID', ({ serviceId }) => serviceId],
  ['.Service.Name', ({ serviceName }) => serviceName],
  ['.Container.ID', ({ containerId }) => containerId],
  ['.Container.Name', ({ containerName }) => containerName],
  ['.Slot', ({ slot }) => slot?.toString()],
  ['.Revision', ({ revision }) => revision?.toString()],
  ['.Node.ID', ({ nodeId }) => nodeId],
  ['.Node.Name', ({ nodeName }) => nodeName],
  ['.Node.Hostname', ({ nodeHostname }) => nodeHostname],
  ['"{{"', () => '{{'],
]);

/** Every place where a template begins; without an end it has no name. */
const pattern = /\{\{(?: *(?<name>"\{\{"|[^{}]*?) *\}\})?/g;

const allTemplates: readonly string[] = [...values.keys()];

/** Those that names of volumes may hold: what does not depend on the node or the attempt. */
export const volumeTemplates: readonly string[] = [
  '.Service.ID',
  '.Service.Name',
  '.Container.Name',
  '.Slot',
];

/** What is wrong with the templates of a text, as a rule; undefined if nothing is. */
export function templateRule(text: string, allowed = allTemplates): string | undefined {
  for (const match of text.matchAll(pattern)) {
    if (allowed.includes(match.groups?.['name'] ?? '')) continue;
    const names = allowed.filter((name) => name.startsWith('.')).map((name) => `{{${name}}}`);
    const braces = allowed === allTemplates ? ', and {{"{{"}} for two braces' : '';
    return `must have no template but ${names.join(', ')}${braces}, and has ${match[0].slice(0, 40)}`;
  }
  return undefined;
}

/** The text with its templates filled in; those whose value is not known stay. */
export function expandTemplates(text: string, container: Known): string {
  if (!text.includes('{{')) return text;
  return text.replace(pattern, (whole, name: string | undefined) => {
    return values.get(name ?? '')?.(container) ?? whole;
  });
}

const maxHostnameLength = 63;

/** What templates made of a host name, made to fit where it does not. */
export function fitHostname(text: string): string {
  if (text.length <= maxHostnameLength && isHostname(text)) return text;
  const fitting = text.replaceAll(/[^A-Za-z0-9.-]+/g, '-').slice(0, maxHostnameLength);
  const labels = fitting.split('.').map((label) => label.replaceAll(/^-+|-+$/g, ''));
  return labels.filter((label) => label !== '').join('.') || 'container';
}

/** Whether a text is a host name by RFC 1123. */
export function isHostname(text: string): boolean {
  const labels = text.split('.');
  return (
    text.length <= 253 &&
    labels.every((label) => /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/.test(label))
  );
}
