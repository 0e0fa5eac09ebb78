import type { ServedHosts } from '../certificates/handout.ts';
import type { PlacedRoute } from '../model.ts';
import type { FrontendTls, TlsSettings } from '../tls-model.ts';

/** The container port of a load balancer that speaks TLS unless it is told which do. */
const defaultPort = 443;

/** How a port of a load balancer speaks TLS with clients; null: it does not. */
export function tlsOfPort(tls: TlsSettings, containerPort: number): FrontendTls | null {
  const { ports, ...settings } = tls;
  const speaks = ports.length === 0 ? containerPort === defaultPort : ports.includes(containerPort);
  return speaks ? settings : null;
}

/** What a load balancer listens on, as far as it says for whom it answers. */
interface SecuredPlan {
  readonly frontends: readonly {
    readonly mode: 'http' | 'tcp';
    readonly tls: FrontendTls | null;
    readonly defaultBackend: string;
    readonly routes: readonly Pick<PlacedRoute, 'route'>[];
  }[];
  readonly backends: readonly { readonly name: string }[];
}

/** The hosts that the ports for TLS answer for; null: there are no such ports. */
export function securedHosts({ frontends, backends }: SecuredPlan): ServedHosts | null {
  const secured = frontends.filter(({ tls }) => tls !== null);
  if (secured.length === 0) return null;
  const takesAny = secured.some(
    ({ mode, defaultBackend, routes }) =>
      mode === 'tcp' ||
      backends.some(({ name }) => name === defaultBackend) ||
      routes.some(({ route }) => route.hosts.length === 0),
  );
  if (takesAny) return 'any';
  return secured.flatMap(({ routes }) => routes.flatMap(({ route }) => route.hosts));
}
