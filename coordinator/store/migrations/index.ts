import { initial } from './0001-initial.ts';
import { nodeClusters } from './0002-node-clusters.ts';
import { containerOptions } from './0003-container-options.ts';
import { volumes } from './0004-volumes.ts';
import { shownCertificates } from './0005-shown-certificates.ts';
import { rollouts } from './0006-rollouts.ts';
import { upgrades } from './0007-upgrades.ts';
import { health } from './0008-health.ts';
import { sequential } from './0009-sequential.ts';
import { tokenClusters } from './0010-token-clusters.ts';
import { certificates } from './0011-certificates.ts';
import { routes } from './0012-routes.ts';
import { moves } from './0013-moves.ts';
import { canaries } from './0014-canaries.ts';
import { cancelling } from './0015-cancelling.ts';
import { tls } from './0016-tls.ts';
import { failures } from './0017-failures.ts';
import { policiesOfRoutes } from './0018-policies.ts';
import { eventObjects } from './0019-event-objects.ts';
import { pausesOfRoutes } from './0020-pauses.ts';
import { definitions } from './0021-definitions.ts';
import { http2Ports } from './0022-http2.ts';
import { autodestroy } from './0023-autodestroy.ts';
import { spread } from './0024-spread.ts';
import { avoidTags } from './0025-avoid-tags.ts';

/** In order; the database's user_version counts those that were applied. Never edit one that landed. */
export const migrations: readonly string[] = [
  initial,
  nodeClusters,
  containerOptions,
  volumes,
  shownCertificates,
  rollouts,
  upgrades,
  health,
  sequential,
  tokenClusters,
  certificates,
  routes,
  moves,
  canaries,
  cancelling,
  tls,
  failures,
  policiesOfRoutes,
  eventObjects,
  pausesOfRoutes,
  definitions,
  http2Ports,
  autodestroy,
  spread,
  avoidTags,
];
