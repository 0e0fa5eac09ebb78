import { expect, test } from 'vitest';
import { readProxyAgentConfig } from '../../../../agent/proxy/config.ts';

const given = { coordinator: 'c:1', token: 't', service: 'lb' };

test('runs in the container of a load balancer service with what every container is told', () => {
  const config = readProxyAgentConfig(
    {},
    {
      FAIRLEAD_ADDRESS: '10.0.0.1:7070',
      FAIRLEAD_AUTH: 'Bearer secret-of-the-service',
      FAIRLEAD_SERVICE_ID: 'b7d1',
      FAIRLEAD_SERVICE_HOSTNAME: 'lb',
      FAIRLEAD_CONTAINER_ID: 'c0ffee',
      FAIRLEAD_CONTAINER_HOSTNAME: 'lb-1',
      FAIRLEAD_PROXY_ON_STOP: 'stop',
      FAIRLEAD_PROXY_STATS_PORT: '0',
      FAIRLEAD_PROXY_ACCESS_LOG: 'on',
      FAIRLEAD_PROXY_METRICS_PORT: '9101',
    },
  );
  expect(config).toMatchObject({
    coordinator: '10.0.0.1:7070',
    token: 'secret-of-the-service',
    service: 'b7d1',
    proxyId: 'c0ffee',
    name: 'lb-1',
    onStop: 'stop',
    statsPort: 0,
    accessLog: true,
    metricsPort: 9_101,
    metricsAddress: '127.0.0.1',
    stopGraceMs: 9_000,
    maxConnections: 4_096,
  });
});

test('what is given is stronger than what a container is told', () => {
  const config = readProxyAgentConfig(
    { ...given, maxConnections: '10' },
    {
      FAIRLEAD_ADDRESS: 'other:1',
      FAIRLEAD_AUTH: 'Bearer other',
      FAIRLEAD_SERVICE_HOSTNAME: 'other',
      FAIRLEAD_NAME: 'edge',
      FAIRLEAD_CONTAINER_HOSTNAME: 'other',
      FAIRLEAD_MAX_CONNECTIONS: '20',
    },
  );
  expect(config).toMatchObject({ ...given, name: 'edge', maxConnections: 10, onStop: 'keep' });
});

test('falls back to the name of the service where its id is not known', () => {
  const env = { FAIRLEAD_SERVICE_HOSTNAME: 'lb', FAIRLEAD_TOKEN: 't', FAIRLEAD_COORDINATOR: 'c:1' };
  expect(readProxyAgentConfig({}, env).service).toBe('lb');
});

test('has no statistics page unless it is asked for with a password', () => {
  const page = (flags: Record<string, string>) => {
    const { statsPort, statsAuth } = readProxyAgentConfig({ ...given, ...flags }, {});
    return [statsPort, statsAuth];
  };
  expect(page({})).toEqual([0, undefined]);
  expect(page({ statsAuth: 'joe:secret' })).toEqual([1_936, 'joe:secret']);
  expect(page({ statsAuth: 'joe:secret', statsPort: '8404' })).toEqual([8_404, 'joe:secret']);
  expect(() => page({ statsPort: '1936' })).toThrow('needs --stats-auth USER:PASSWORD');
  expect(() => page({ statsAuth: 'stats:stats' })).toThrow('a password that is not its user');
});

test('lists all mistakes at once', () => {
  const read = () =>
    readProxyAgentConfig(
      {
        coordinator: 'nowhere',
        statsPort: '70000',
        statsAuth: 'joe',
        onStop: 'maybe',
        metricsAddress: 'all',
      },
      { FAIRLEAD_AUTH: 'Basic am9l' },
    );
  for (const words of [
    'must be HOST:PORT',
    'a token of the role proxy',
    'name or id of the load balancer service',
    'must be at most 65535',
    'must be USER:PASSWORD',
    'must be keep or stop',
    'must be an IP address',
  ]) {
    expect(read).toThrow(words);
  }
});
