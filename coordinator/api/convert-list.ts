import { TargetMode } from '../../shared/gen/fairlead/v1/load_balancer.ts';
import {
  FrontendMode,
  type Target as ProtoTarget,
} from '../../shared/gen/fairlead/v1/proxy_service.ts';
import type { Target } from '../model.ts';
import type { BackendList } from '../routing/backend-list.ts';
import type { ProxyRecord } from '../routing/proxy-record.ts';
import { frontendsOf } from '../routing/routes.ts';
import { balancingToProto } from './convert-balancing.ts';
import { readinessToProto } from './convert-health.ts';
import { routeToProto } from './convert-routes.ts';
import { frontendTlsToProto } from './convert-tls.ts';

/** A proxy that does not know of routes is told of what it can do: of ports, each with one backend. */
export function structureToProto({ plan }: BackendList, { place, verbs }: ProxyRecord) {
  const mode = (each: { readonly mode: 'http' | 'tcp' }) =>
    each.mode === 'http' ? FrontendMode.HTTP : FrontendMode.TCP;
  const knowsRoutes = verbs.has('routes');
  // In the clear is not what was asked for.
  const frontends = frontendsOf(plan, place).filter(({ tls }) => tls === null || verbs.has('tls'));
  return {
    frontends: frontends.map(({ routes, tls, ...f }) => ({
      ...f,
      tls: tls === null ? undefined : frontendTlsToProto(tls),
      mode: mode(f),
      trustedUpstreams: [...f.trustedUpstreams],
      routes: knowsRoutes
        ? routes.map(({ route, split, ...rest }) => ({
            ...{ ...rest, route: routeToProto(route) },
            split: split.map((share) => ({ ...share })),
          }))
        : [],
    })),
    backends: plan.backends.map(({ balancing, readiness, ...b }) => ({
      ...{ ...b, mode: mode(b) },
      balancing: balancingToProto(balancing),
      readiness: readiness === null ? undefined : readinessToProto(readiness),
    })),
  };
}

/** A target as its proxies are told of it. */
export function targetToProto(target: Target): ProtoTarget {
  const { id, backend, address, port, drainTimeoutMs, container, containerId } = target;
  const { backup, http2, checkPort, sendProxy } = target;
  const mode = target.mode === 'ready' ? TargetMode.READY : TargetMode.DRAIN;
  return {
    id,
    backend,
    address,
    port,
    mode,
    drainTimeoutMs,
    container,
    containerId,
    backup,
    http2,
    checkPort,
    sendProxy,
  };
}
