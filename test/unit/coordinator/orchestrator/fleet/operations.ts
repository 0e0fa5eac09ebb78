import fc from 'fast-check';
import type { ServiceSpec } from '../../../../../shared/gen/fairlead/v1/service.ts';
import {
  ApiRole,
  FailureAction,
  PlacementStrategy,
  ServiceSpec as SpecMessage,
  UpdateOrder,
  UpdatePolicy,
} from '../../../../../shared/gen/fairlead/v1/service.ts';
import { Availability } from '../../../../../shared/gen/fairlead/v1/node.ts';
import { Role } from '../../../../../shared/gen/fairlead/v1/token.ts';
import { DomainError } from '../../../../../shared/errors.ts';
import type { ImageKind } from './model-agent.ts';
import type { ModelFleet } from './model-fleet.ts';

/** One alternative for each of several kinds. */
type Of<Kind, Rest = unknown> = Kind extends string ? { readonly kind: Kind } & Rest : never;

interface Pick {
  readonly pick: number;
}

type ContainerVerb = 'startContainer' | 'stopContainer' | 'redeployContainer' | 'removeContainer';
type ServiceVerb =
  'redeploy' | 'start' | 'stop' | 'link' | 'unlink' | 'hold' | 'resume' | 'promote';

interface Policy {
  readonly order: UpdateOrder;
  readonly parallelism: number;
  readonly onFailure: FailureAction;
  readonly failureBudget: number;
  readonly settleMs: number;
  readonly canary?: number;
  readonly autoPromote?: boolean;
}

/** What a user does. */
export type Change =
  | Of<'scale', { readonly replicas: number }>
  | Of<'update', { readonly image: ImageKind }>
  | Of<'policy', { readonly policy: Policy }>
  | Of<'rollback', { readonly back: number }>
  | Of<'container', { readonly verb: ContainerVerb } & Pick>
  | Of<ServiceVerb>
  | Of<'pause' | 'activate', Pick>
  | Of<'drain', { readonly drain: Drain } & Pick>;

export interface Drain {
  readonly parallelism: number;
  readonly deadlineSeconds: number;
  readonly force: boolean;
}

type FaultKind =
  | 'crash'
  | 'lose'
  | 'blink'
  | 'sicken'
  | 'cut-agent'
  | 'heal-agent'
  | 'restart-agent'
  | 'lag-agent'
  | 'stutter-agent'
  | 'cut-proxy'
  | 'heal-proxy'
  | 'restart-coordinator'
  | 'kill-coordinator'
  | 'fill-disk'
  | 'free-disk'
  | 'set-clock';

/** What goes wrong. */
export type Fault = Of<FaultKind, Pick>;

/** What clients do, and time. */
export type Life =
  Of<'request' | 'finish' | 'lag', Pick> | Of<'pass', { readonly seconds: number }>;

export type Operation = Change | Fault | Life;

const pick = fc.nat({ max: 7 });

const policies = (...orders: UpdateOrder[]) =>
  fc.record({
    kind: fc.constant('policy' as const),
    policy: fc.record({
      order: fc.constantFrom(...orders),
      parallelism: fc.integer({ min: 1, max: 3 }),
      onFailure: fc.constantFrom(
        ...[FailureAction.ROLL_BACK, FailureAction.PAUSE, FailureAction.CONTINUE],
      ),
      failureBudget: fc.nat({ max: 2 }),
      settleMs: fc.constantFrom(0, 0, 1_500),
      canary: fc.constantFrom(0, 0, 1, 2),
      autoPromote: fc.boolean(),
    }),
  });

function drains(force: fc.Arbitrary<boolean>) {
  const drain = fc.record({
    parallelism: fc.nat({ max: 2 }),
    deadlineSeconds: fc.constantFrom(0, 5, 30),
    force,
  });
  return fc.record({ kind: fc.constant('drain' as const), pick, drain });
}

/** To so many revisions before; 0 is wherever a rollback goes by itself. */
const rollbacks = fc.record({ kind: fc.constant('rollback' as const), back: fc.nat({ max: 3 }) });

export const changes: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ kind: fc.constant('scale' as const), replicas: fc.nat({ max: 5 }) }),
  fc.record({
    kind: fc.constant('update' as const),
    image: fc.constantFrom<ImageKind>('good', 'good', 'broken', 'mute', 'looping'),
  }),
  policies(UpdateOrder.START_FIRST, UpdateOrder.STOP_FIRST),
  rollbacks,
  fc.record({
    kind: fc.constantFrom<ServiceVerb>(
      ...(['redeploy', 'start', 'stop', 'link', 'unlink', 'hold', 'resume', 'promote'] as const),
    ),
  }),
  fc.record({
    kind: fc.constant('container' as const),
    verb: fc.constantFrom<ContainerVerb>(
      'startContainer',
      'stopContainer',
      'redeployContainer',
      'removeContainer',
    ),
    pick,
  }),
  fc.record({ kind: fc.constantFrom('pause' as const, 'activate' as const), pick }),
  drains(fc.boolean()),
);

/** Those that leave every container running that serves, but for what is scaled away. */
export const gentleChanges: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ kind: fc.constant('scale' as const), replicas: fc.integer({ min: 1, max: 5 }) }),
  fc.record({ kind: fc.constant('redeploy' as const) }),
  fc.record({
    kind: fc.constant('update' as const),
    image: fc.constantFrom<ImageKind>('good', 'good', 'broken', 'mute', 'looping'),
  }),
  policies(UpdateOrder.START_FIRST),
  rollbacks,
  fc.record({ kind: fc.constantFrom('hold' as const, 'resume' as const, 'promote' as const) }),
  fc.record({
    kind: fc.constant('container' as const),
    verb: fc.constant('redeployContainer' as const),
    pick,
  }),
  fc.record({ kind: fc.constant('activate' as const), pick }),
  drains(fc.constant(false)),
);

export const faults: fc.Arbitrary<Fault> = fc.record({
  kind: fc.constantFrom<FaultKind>(
    'crash',
    'lose',
    'blink',
    'sicken',
    'cut-agent',
    'heal-agent',
    'restart-agent',
    'lag-agent',
    'stutter-agent',
    'cut-proxy',
    'heal-proxy',
    'restart-coordinator',
    'kill-coordinator',
    'fill-disk',
    'free-disk',
    'set-clock',
  ),
  pick,
});

export const life: fc.Arbitrary<Life> = fc.oneof(
  fc.record({ kind: fc.constantFrom('request' as const, 'finish' as const, 'lag' as const), pick }),
  fc.record({
    kind: fc.constant('pass' as const),
    // Now and then longer than a node's grace.
    seconds: fc.oneof(
      { weight: 9, arbitrary: fc.integer({ min: 1, max: 8 }) },
      { weight: 1, arbitrary: fc.integer({ min: 60, max: 80 }) },
    ),
  }),
);

export interface ServiceOptions {
  readonly replicas: number;
  readonly strategy?: PlacementStrategy;
  readonly hostPort?: number;
  readonly order?: UpdateOrder;
}

/** Defines the load balancer and the service behind it, and connects everything. */
export async function begin(fleet: ModelFleet, options: ServiceOptions): Promise<void> {
  const { replicas, strategy = PlacementStrategy.UNSPECIFIED, hostPort = 0 } = options;
  const everyNode = strategy === PlacementStrategy.EVERY_NODE;
  const { handlers, call } = fleet;
  await handlers.createService(
    {
      name: 'web',
      start: true,
      options: undefined,
      spec: aSpecMessage({
        ...(everyNode ? {} : { replicas }),
        strategy,
        ports: [{ containerPort: 80, protocol: 0, published: true, hostPort }],
        update: UpdatePolicy.fromPartial({ order: options.order ?? 0, deadlineMs: 20_000 }),
      }),
    },
    call,
  );
  await handlers.createService(
    {
      name: 'lb',
      start: false,
      options: undefined,
      spec: aSpecMessage({
        apiRole: ApiRole.PROXY,
        links: [{ service: 'web', alias: 'web' }],
        ports: [{ containerPort: 80, protocol: 0, published: true, hostPort: 0 }],
      }),
    },
    call,
  );
  // What proxies on plain hosts speak with, so that a coordinator which restarts expects them back.
  await handlers.createToken(
    {
      name: 'proxies',
      role: Role.PROXY,
      services: ['lb'],
      clusters: [],
      tags: [],
      cluster: '',
      maxUses: 0,
      lifetimeSeconds: 0,
      options: undefined,
    },
    call,
  );
  fleet.connectAll();
}

function aSpecMessage(spec: Partial<ServiceSpec>): ServiceSpec {
  return SpecMessage.fromPartial({ image: 'good-1', drainTimeoutMs: 6_000, ...spec });
}

/** Does one thing; what the API refuses is fine. */
export async function perform(fleet: ModelFleet, operation: Operation): Promise<void> {
  try {
    await performAny(fleet, operation);
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
  }
}

/** How each kind of operation is carried out. */
type Performers = {
  readonly [Kind in Operation['kind']]: (
    fleet: ModelFleet,
    operation: Extract<Operation, { kind: Kind }>,
  ) => unknown;
};

async function performAny(fleet: ModelFleet, operation: Operation): Promise<void> {
  const performer = performers[operation.kind] as (fleet: ModelFleet, o: Operation) => unknown;
  await performer(fleet, operation);
}

const web = { service: 'web', options: undefined };

const agentOf = (fleet: ModelFleet, { pick: which }: Pick) =>
  fleet.agents[which % fleet.agents.length]!;
const proxyOf = (fleet: ModelFleet, { pick: which }: Pick) =>
  fleet.proxies[which % fleet.proxies.length]!;

const performers: Performers = {
  scale: ({ handlers, call }, { replicas }) => handlers.scaleService({ ...web, replicas }, call),
  update: (fleet, { image }) => update(fleet, { image: nextImage(fleet, image) }, ['image']),
  policy: (fleet, { policy }) => {
    const { parallelism } = policy;
    fleet.maxParallelism = Math.max(fleet.maxParallelism, parallelism);
    const message = UpdatePolicy.fromPartial({ deadlineMs: 20_000, ...policy });
    return update(fleet, { update: message }, ['update']);
  },
  rollback: (fleet, { back }) => {
    const revision = back === 0 ? 0 : Math.max(1, fleet.service('web').revision - back);
    return fleet.handlers.rollbackService({ ...web, revision }, fleet.call);
  },
  hold: ({ handlers, call }) => handlers.pauseService(web, call),
  resume: ({ handlers, call }) => handlers.resumeService(web, call),
  promote: ({ handlers, call }) => handlers.promoteService(web, call),
  redeploy: ({ handlers, call }) => handlers.redeployService(web, call),
  start: ({ handlers, call }) => handlers.startService(web, call),
  stop: ({ handlers, call }) => handlers.stopService(web, call),
  link: ({ handlers, call }) => {
    const link = { service: 'web', alias: 'web' };
    return handlers.addLink({ service: 'lb', link, options: undefined }, call);
  },
  unlink: ({ handlers, call }) =>
    handlers.removeLink({ service: 'lb', alias: 'web', options: undefined }, call),
  container: ({ handlers, call }, { verb, pick: slot }) =>
    handlers[verb]({ container: `web-${slot}`, options: undefined }, call),
  pause: (fleet, operation) => setAvailability(fleet, operation, Availability.PAUSED),
  drain: (fleet, { drain, ...operation }) =>
    fleet.handlers.drainNode(
      { node: agentOf(fleet, operation).id, ...drain, options: undefined },
      fleet.call,
    ),
  activate: (fleet, operation) => setAvailability(fleet, operation, Availability.ACTIVE),

  crash: (fleet, operation) => {
    agentOf(fleet, operation).crash(operation.pick);
  },
  lose: (fleet, operation) => {
    agentOf(fleet, operation).lose(operation.pick);
  },
  blink: (fleet, operation) => {
    agentOf(fleet, operation).blink(operation.pick);
  },
  sicken: (fleet, operation) => {
    agentOf(fleet, operation).sicken(operation.pick);
  },
  'cut-agent': (fleet, operation) => {
    agentOf(fleet, operation).disconnect();
  },
  'heal-agent': (fleet, operation) => {
    fleet.connectAgent(agentOf(fleet, operation));
  },
  'restart-agent': (fleet, operation) => {
    agentOf(fleet, operation).restart();
  },
  'lag-agent': (fleet, operation) => {
    agentOf(fleet, operation).lag(operation.pick);
  },
  'stutter-agent': (fleet, operation) => {
    agentOf(fleet, operation).stutter(operation.pick);
  },
  'cut-proxy': (fleet, operation) => {
    proxyOf(fleet, operation).disconnect();
  },
  'heal-proxy': (fleet, operation) => {
    fleet.connectProxy(proxyOf(fleet, operation));
  },
  'restart-coordinator': (fleet) => fleet.restartCoordinator({ killed: false }),
  'kill-coordinator': (fleet) => fleet.restartCoordinator({ killed: true }),

  'fill-disk': ({ store }) => {
    store.full = true;
  },
  'free-disk': ({ store }) => {
    store.full = false;
  },

  'set-clock': ({ clock }, { pick: which }) => {
    clock.setWallClock((which % 2 === 0 ? 1 : -1) * (which + 1) * 3_600_000);
  },

  request: (fleet, { pick: which }) => {
    for (const proxy of fleet.proxies) proxy.begin(which);
  },
  finish: (fleet, { pick: which }) => {
    for (const proxy of fleet.proxies) proxy.finish(which);
  },
  lag: (fleet, operation) => {
    proxyOf(fleet, operation).lag(operation.pick);
  },
  pass: (fleet, { seconds }) => fleet.pass(seconds),
};

function setAvailability(fleet: ModelFleet, operation: Pick, availability: Availability) {
  const { handlers, call } = fleet;
  const { id: node } = agentOf(fleet, operation);
  const updateMask = ['availability'];
  return handlers.updateNode(
    { node, tags: [], availability, cluster: '', updateMask, options: undefined },
    call,
  );
}

export async function update(
  fleet: ModelFleet,
  spec: Partial<ServiceSpec>,
  updateMask: string[],
): Promise<void> {
  const { handlers, call } = fleet;
  const message = SpecMessage.fromPartial(spec);
  await handlers.updateService(
    { service: 'web', spec: message, updateMask, options: undefined },
    call,
  );
}

/** An image of this kind that the service does not have yet. */
function nextImage(fleet: ModelFleet, kind: ImageKind): string {
  return `${kind}-${fleet.service('web').revision + 1}`;
}
