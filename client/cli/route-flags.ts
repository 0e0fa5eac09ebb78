import { BalanceAlgorithm, type Route } from '../../shared/gen/fairlead/v1/route.ts';
import type { FlagGroup } from './option-flags.ts';
import { readRoutes } from './route-values.ts';
import { readCount, readDuration } from './values.ts';

const itself = (entry: string | number) => `${entry}`;
const nameOf = ({ name }: Route) => name;

const algorithms = {
  'round-robin': BalanceAlgorithm.ROUND_ROBIN,
  'least-connections': BalanceAlgorithm.LEAST_CONNECTIONS,
  random: BalanceAlgorithm.RANDOM,
  source: BalanceAlgorithm.SOURCE,
  uri: BalanceAlgorithm.URI,
};

/** Flags for what load balancers do with the requests of a service, and for a load balancer itself. */
export const routeFlags: readonly FlagGroup[] = [
  [
    'Routes:',
    [
      {
        ...{ flags: '--route <host/path[,key=value…]|@file>', path: 'routes', read: readRoutes },
        ...{
          description: 'requests that come here, repeatable; see docs/routing.md',
          ...{ keyOf: nameOf, namesApart: true },
        },
      },
      {
        ...{ flags: '--route-rm <name>', path: 'routes', removes: true, keyOf: nameOf },
        ...{ description: 'take a route out' },
      },
    ],
  ],
  [
    'Balancing:',
    [
      {
        ...{ flags: '--balance <algorithm>', path: 'balancing.algorithm', words: algorithms },
        ...{ description: 'how the container for a request is chosen' },
      },
      {
        ...{ flags: '--sticky <cookie>', path: 'balancing.stickyCookie' },
        ...{ description: 'cookie that keeps a client at its container; "" for none' },
      },
      {
        ...{ flags: '--compress', path: 'balancing.compress' },
        ...{ description: 'compress answers of text' },
      },
      {
        ...{ flags: '--send-proxy', path: 'balancing.sendProxy' },
        ...{ description: 'tell containers of the client by the PROXY protocol' },
      },
      {
        ...{ flags: '--backup <service>', path: 'balancing.backups', keyOf: itself },
        ...{ description: 'service that takes over when nothing answers, repeatable' },
      },
      {
        ...{
          flags: '--http2 <port>',
          path: 'balancing.http2Ports',
          read: readCount,
          keyOf: itself,
        },
        ...{ description: 'port where containers speak HTTP/2 without TLS (gRPC), repeatable' },
      },
      {
        ...{ flags: '--pause-requests <duration>', path: 'balancing.pauseMs', read: readDuration },
        ...{ description: 'hold all requests, each at most so long; 0s for no more' },
      },
    ],
  ],
  [
    'Load balancers:',
    [
      {
        ...{ flags: '--trust-upstream <network>', path: 'forwarding.trustedUpstreams' },
        ...{ description: 'whose X-Forwarded headers are believed, repeatable', keyOf: itself },
      },
      {
        ...{ flags: '--proxy-protocol <port>', path: 'forwarding.proxyProtocolPorts' },
        ...{ read: readCount, keyOf: itself },
        ...{ description: 'port where connections begin with the PROXY protocol, repeatable' },
      },
    ],
  ],
];
