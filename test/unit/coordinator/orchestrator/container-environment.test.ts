import { describe, expect, test } from 'vitest';
import {
  givenVariables,
  identityVariables,
  linkHosts,
  linkVariables,
  type LinkedContainer,
  type LinkedService,
} from '../../../../coordinator/orchestrator/container-environment.ts';
import type { Observed } from '../../../../coordinator/model.ts';
import {
  aBinding,
  aContainer,
  aNode,
  anObservation,
  aPort,
  aService,
  aSpec,
  containerId,
  nodeId,
  serviceId,
} from '../../../support/builders.ts';

const api = {
  httpUrl: 'http://198.51.100.7:7601',
  grpcAddress: '198.51.100.7:7600',
  zone: 'fairlead.internal',
};

const web = aService({
  id: serviceId('0a'.repeat(16)),
  spec: aSpec({ ports: [aPort(), aPort({ containerPort: 53, protocol: 'udp' })] }),
});

function aLinked(slot: number, observed: Partial<Observed> = {}): LinkedContainer {
  return {
    container: aContainer({ slot }),
    observed: anObservation({
      ports: [
        aBinding({ hostPort: 49_000 + slot }),
        aBinding({ containerPort: 53, protocol: 'udp', hostPort: 50_000 + slot }),
      ],
      ...observed,
    }),
    node: aNode({ advertiseAddress: `10.7.0.${slot}` }),
  };
}

function aLink(changes: Partial<LinkedService> = {}): LinkedService {
  return {
    link: { service: 'web', alias: 'web' },
    service: web,
    containers: [aLinked(1), aLinked(2)],
    ...changes,
  };
}

describe('a link gives', () => {
  const variables = linkVariables(aLink(), api);

  test('for each container its ports, as Docker names them', () => {
    expect(variables).toMatchObject({
      WEB_1_PORT: 'tcp://10.7.0.1:49001',
      WEB_1_PORT_80_TCP: 'tcp://10.7.0.1:49001',
      WEB_1_PORT_80_TCP_ADDR: '10.7.0.1',
      WEB_1_PORT_80_TCP_PORT: '49001',
      WEB_1_PORT_80_TCP_PROTO: 'tcp',
      WEB_1_PORT_53_UDP: 'udp://10.7.0.1:50001',
      WEB_1_PORT_53_UDP_PROTO: 'udp',
      WEB_2_PORT: 'tcp://10.7.0.2:49002',
      WEB_2_PORT_80_TCP_ADDR: '10.7.0.2',
    });
  });

  test('names without a number for the first of them', () => {
    expect(variables).toMatchObject({
      WEB_PORT: 'tcp://10.7.0.1:49001',
      WEB_PORT_80_TCP_ADDR: '10.7.0.1',
      WEB_PORT_80_TCP_PORT: '49001',
    });
  });

  test('names that the programs of Docker Cloud look for', () => {
    const names = Object.keys(variables).filter((name) => name.includes('_PORT_'));
    const known = /^WEB(_\d+)?_PORT_\d{1,5}_(TCP|UDP)(_(ADDR|PORT|PROTO))?$/;
    expect(names.filter((name) => !known.test(name))).toEqual([]);
  });

  test('the URL that describes the service', () => {
    expect(variables['WEB_FAIRLEAD_API_URL']).toBe(
      'http://198.51.100.7:7601/fairlead.v1.ControlService/GetService?connect=v1&encoding=json' +
        `&message=${encodeURIComponent(`{"service":"${web.id}"}`)}`,
    );
  });

  test('the environment of the service', () => {
    const service = aService({ spec: aSpec({ environment: { COLOUR: 'blue' } }) });
    expect(linkVariables(aLink({ service }), api)).toMatchObject({
      WEB_ENV_COLOUR: 'blue',
      WEB_2_ENV_COLOUR: 'blue',
    });
  });

  test('names under its alias, with underscores', () => {
    const link = { service: 'web', alias: 'my-web' };
    expect(linkVariables(aLink({ link }), api)).toMatchObject({
      MY_WEB_1_PORT: 'tcp://10.7.0.1:49001',
    });
  });

  test('an address that a port is bound to, rather than that of the node', () => {
    const ports = [aBinding({ hostAddress: '10.9.9.9', hostPort: 1 })];
    expect(linkVariables(aLink({ containers: [aLinked(1, { ports })] }), api)).toMatchObject({
      WEB_1_PORT: 'tcp://10.9.9.9:1',
    });
  });

  test.each([
    ['of what does not run', aLinked(1, { phase: 'starting' })],
    ['of what nobody reported', { ...aLinked(1), observed: undefined }],
    ['of ports that are not bound', aLinked(1, { ports: [] })],
  ])('nothing %s', (_, container) => {
    const names = Object.keys(linkVariables(aLink({ containers: [container] }), api));
    expect(names).toEqual(['WEB_FAIRLEAD_API_URL']);
  });
});

describe('the hosts file', () => {
  test('names all containers of a link, and each of them', () => {
    expect(linkHosts(aLink())).toEqual([
      { name: 'web', address: '10.7.0.1' },
      { name: 'web-1', address: '10.7.0.1' },
      { name: 'web', address: '10.7.0.2' },
      { name: 'web-2', address: '10.7.0.2' },
    ]);
  });

  test('names only what runs', () => {
    expect(linkHosts(aLink({ containers: [aLinked(1, { phase: 'stopped' })] }))).toEqual([]);
  });
});

describe('a container is told', () => {
  const service = aService({
    id: serviceId('5e'.repeat(16)),
    name: 'app',
    spec: aSpec({
      environment: {
        COLOUR: 'red',
        WHERE: '{{.Node.Name}}/{{.Slot}}',
        WEB_1_PORT: 'mine',
        FAIRLEAD_NODE_ID: 'x',
      },
    }),
  });
  const inputs = {
    service,
    container: aContainer({ id: containerId('c0'.repeat(16)), name: 'app-1' }),
    node: aNode({ id: nodeId('0d'.repeat(16)), name: 'host-1' }),
    linked: [aLink()],
    api,
  };
  const environment = { ...givenVariables(inputs), ...identityVariables(inputs) };

  test('who it is, and where Fairlead is', () => {
    const uri = (method: string, field: string, id: string) =>
      `/fairlead.v1.ControlService/${method}?connect=v1&encoding=json` +
      `&message=${encodeURIComponent(JSON.stringify({ [field]: id }))}`;
    const serviceUri = uri('GetService', 'service', service.id);
    const containerUri = uri('GetContainer', 'container', 'c0'.repeat(16));
    const nodeUri = uri('GetNode', 'node', '0d'.repeat(16));
    expect(environment).toMatchObject({
      WHERE: 'host-1/1',
      FAIRLEAD_ADDRESS: '198.51.100.7:7600',
      FAIRLEAD_SERVICE_ID: service.id,
      FAIRLEAD_SERVICE_API_URI: serviceUri,
      FAIRLEAD_SERVICE_API_URL: `http://198.51.100.7:7601${serviceUri}`,
      FAIRLEAD_SERVICE_HOSTNAME: 'app',
      FAIRLEAD_SERVICE_FQDN: 'app.5e5e5e5e.svc.fairlead.internal',
      FAIRLEAD_CONTAINER_ID: 'c0'.repeat(16),
      FAIRLEAD_CONTAINER_API_URI: containerUri,
      FAIRLEAD_CONTAINER_API_URL: `http://198.51.100.7:7601${containerUri}`,
      FAIRLEAD_CONTAINER_HOSTNAME: 'app-1',
      FAIRLEAD_CONTAINER_FQDN: 'app-1.c0c0c0c0.cont.fairlead.internal',
      FAIRLEAD_NODE_API_URI: nodeUri,
      FAIRLEAD_NODE_API_URL: `http://198.51.100.7:7601${nodeUri}`,
      FAIRLEAD_NODE_HOSTNAME: 'host-1',
      FAIRLEAD_NODE_FQDN: 'host-1.node.fairlead.internal',
    });
  });

  test('what the user set rather than what a link gives, but never who it is', () => {
    expect(environment).toMatchObject({
      COLOUR: 'red',
      WEB_1_PORT: 'mine',
      WEB_2_PORT: 'tcp://10.7.0.2:49002',
      FAIRLEAD_NODE_ID: '0d'.repeat(16),
    });
  });

  test('no secret', () => {
    expect(Object.keys(environment)).not.toContain('FAIRLEAD_AUTH');
  });
});
