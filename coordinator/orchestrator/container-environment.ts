import { shortId } from '../../shared/ids.ts';
import type { Container, HostEntry, Link, Node, Observed, Port, Service } from '../model.ts';
import { expandTemplates, templateValues } from './templates.ts';

/** Where a container finds Fairlead. */
export interface ApiAddresses {
  /** Base URL of the HTTP side, `http://198.51.100.7:7601`, without a slash at the end. */
  readonly httpUrl: string;
  /** `HOST:PORT` of the gRPC side. */
  readonly grpcAddress: string;
  /** DNS zone of the names that end in FQDN. */
  readonly zone: string;
}

/** A container of a service that is linked to. */
export interface LinkedContainer {
  readonly container: Container;
  readonly observed: Observed | undefined;
  readonly node: Node | undefined;
}

export interface LinkedService {
  readonly link: Link;
  readonly service: Service;
  readonly containers: readonly LinkedContainer[];
}

export interface EnvironmentInputs {
  readonly service: Service;
  readonly container: Container;
  readonly node: Node;
  readonly linked: readonly LinkedService[];
  readonly api: ApiAddresses;
}

/** What a container gets besides its identity, frozen when it is placed: links, then what the user set. */
export function givenVariables(inputs: EnvironmentInputs): Record<string, string> {
  const { service, container, node, linked, api } = inputs;
  const templates = templateValues(service, container, node);
  const own = Object.entries(service.spec.environment);
  return {
    ...Object.fromEntries(linked.flatMap((each) => Object.entries(linkVariables(each, api)))),
    ...Object.fromEntries(own.map(([name, text]) => [name, expandTemplates(text, templates)])),
  };
}

/**
 * Who a container is, and where Fairlead is. Made whenever it is asked for: it follows from what is known, and
 * would be most of what a container takes in memory. FAIRLEAD_AUTH is besides.
 */
export function identityVariables({
  service,
  container,
  node,
  api,
}: {
  readonly service: Pick<Service, 'id' | 'name'>;
  readonly container: Pick<Container, 'id' | 'name'>;
  readonly node: Pick<Node, 'id' | 'name'>;
  readonly api: ApiAddresses;
}): Record<string, string> {
  const serviceUri = apiUri('GetService', 'service', service.id);
  const containerUri = apiUri('GetContainer', 'container', container.id);
  const nodeUri = apiUri('GetNode', 'node', node.id);
  return {
    FAIRLEAD_ADDRESS: api.grpcAddress,
    FAIRLEAD_SERVICE_ID: service.id,
    FAIRLEAD_SERVICE_API_URI: serviceUri,
    FAIRLEAD_SERVICE_API_URL: api.httpUrl + serviceUri,
    FAIRLEAD_SERVICE_HOSTNAME: service.name,
    FAIRLEAD_SERVICE_FQDN: `${service.name}.${shortId(service.id)}.svc.${api.zone}`,
    FAIRLEAD_CONTAINER_ID: container.id,
    FAIRLEAD_CONTAINER_API_URI: containerUri,
    FAIRLEAD_CONTAINER_API_URL: api.httpUrl + containerUri,
    FAIRLEAD_CONTAINER_HOSTNAME: container.name,
    FAIRLEAD_CONTAINER_FQDN: `${container.name}.${shortId(container.id)}.cont.${api.zone}`,
    FAIRLEAD_NODE_ID: node.id,
    FAIRLEAD_NODE_API_URI: nodeUri,
    FAIRLEAD_NODE_API_URL: api.httpUrl + nodeUri,
    FAIRLEAD_NODE_HOSTNAME: node.name,
    FAIRLEAD_NODE_FQDN: `${node.name}.node.${api.zone}`,
  };
}

/**
 * What a link gives to the environment of the container that has it, under the alias: for each container
 * of the linked service its ports and environment, and the URL that describes the service.
 */
export function linkVariables(
  { link, service, containers }: LinkedService,
  api: ApiAddresses,
): Record<string, string> {
  const prefix = link.alias.toUpperCase().replaceAll('-', '_');
  const variables: Record<string, string> = {
    [`${prefix}_FAIRLEAD_API_URL`]: api.httpUrl + apiUri('GetService', 'service', service.id),
  };
  const reachable = containers
    .filter(({ observed }) => observed?.phase === 'running')
    .sort((a, b) => a.container.slot - b.container.slot);
  for (const linked of reachable) {
    Object.assign(variables, portVariables(`${prefix}_${linked.container.slot}`, service, linked));
  }
  const [first] = reachable;
  if (first !== undefined) Object.assign(variables, portVariables(prefix, service, first));
  return variables;
}

/** Lines for the hosts file: the alias names all containers, the alias with a number one of them. */
export function linkHosts({ link, containers }: LinkedService): HostEntry[] {
  return containers
    .filter(({ observed, node }) => observed?.phase === 'running' && node !== undefined)
    .flatMap(({ container, node }) => {
      const address = node?.advertiseAddress ?? '';
      return [
        { name: link.alias, address },
        { name: `${link.alias}-${container.slot}`, address },
      ];
    });
}

function portVariables(
  prefix: string,
  service: Service,
  linked: LinkedContainer,
): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const [key, value] of Object.entries(service.spec.environment)) {
    // As the container has it: what its templates stand for is its own.
    const given = linked.container.definition?.environment[key];
    variables[`${prefix}_ENV_${key}`] = given ?? value;
  }
  for (const port of service.spec.ports) {
    const address = addressOf(linked, port);
    if (address === null) continue;
    const url = `${port.protocol}://${address.host}:${address.port}`;
    const name = `${prefix}_PORT_${port.containerPort}_${port.protocol.toUpperCase()}`;
    variables[`${prefix}_PORT`] ??= url;
    variables[name] = url;
    variables[`${name}_ADDR`] = address.host;
    variables[`${name}_PORT`] = String(address.port);
    variables[`${name}_PROTO`] = port.protocol;
  }
  return variables;
}

function addressOf(
  { observed, node }: LinkedContainer,
  port: Port,
): { host: string; port: number } | null {
  const binding = observed?.ports.find(
    (each) => each.containerPort === port.containerPort && each.protocol === port.protocol,
  );
  if (binding === undefined || node === undefined) return null;
  const any = binding.hostAddress === '0.0.0.0' || binding.hostAddress === '';
  return { host: any ? node.advertiseAddress : binding.hostAddress, port: binding.hostPort };
}

/** Path of a read in the Connect protocol's GET form: any HTTP client can follow it. */
function apiUri(method: string, field: string, id: string): string {
  // `{"FIELD":"ID"}`, escaped by hand: all agents that come back at once are told of all their containers.
  const message = `%7B%22${field}%22%3A%22${encodeURIComponent(id)}%22%7D`;
  return `/fairlead.v1.ControlService/${method}?connect=v1&encoding=json&message=${message}`;
}
