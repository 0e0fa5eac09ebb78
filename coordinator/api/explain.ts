import type {
  ExplainRequest,
  ExplainResponse,
} from '../../shared/gen/fairlead/v1/control_service.ts';
import {
  RolloutStepState,
  type RolloutStep,
  type Wait as ProtoWait,
} from '../../shared/gen/fairlead/v1/explanation.ts';
import type { Clock } from '../../shared/clock.ts';
import { groupBy } from '../../shared/collections.ts';
import type { Action, Container, Service } from '../model.ts';
import { openActions } from '../orchestrator/actions.ts';
import type { Orchestrator, ServiceStatus } from '../orchestrator/orchestrator.ts';
import type { SlotProgress } from '../orchestrator/slot-progress.ts';
import type { Wait } from '../orchestrator/waits.ts';
import type { Store } from '../store/store.ts';
import type { Call } from './call.ts';
import { actionToProto, dateOf } from './convert.ts';
import { actionFor, containerFor, serviceFor } from './discretion.ts';
import { required, type Lookup } from './lookup.ts';
import { byName, type Presenter } from './present.ts';

export interface ExplainApiDeps {
  readonly store: Store;
  readonly lookup: Lookup;
  readonly presenter: Presenter;
  readonly orchestrator: Orchestrator;
  readonly clock: Clock;
}

/** Waits, and containers, that are told of. */
const maxTold = 100;

/** As many as a service can have containers. */
const maxSteps = 1_000;

/** What there is to say, before what is the same for every subject. */
type Said = Pick<ExplainResponse, 'summary' | 'service' | 'containers' | 'actions' | 'steps'> & {
  readonly waits: readonly ProtoWait[];
};

/** Says why something is as it is. */
export class ExplainApi {
  readonly #deps: ExplainApiDeps;

  constructor(deps: ExplainApiDeps) {
    this.#deps = deps;
  }

  explain({ subject }: ExplainRequest, call: Call): ExplainResponse {
    const { waits, ...said } = this.#say(subject, call);
    return {
      ...said,
      time: new Date(this.#deps.clock.now()),
      waits: waits.slice(0, maxTold),
      moreWaits: Math.max(0, waits.length - maxTold),
    };
  }

  #say(subject: ExplainRequest['subject'], call: Call): Said {
    const { lookup } = this.#deps;
    switch (subject?.$case) {
      case 'service':
        return this.#service(lookup.service(call, subject.value), call);
      case 'container': {
        const { container, service } = lookup.container(call, subject.value);
        return this.#container(container, service, call);
      }
      case 'action':
        return this.#action(lookup.action(call, subject.value), call);
      case undefined:
        required('', 'subject');
        throw new Error('nothing is required');
    }
  }

  #service(service: Service, call: Call): Said {
    const { store, presenter, orchestrator } = this.#deps;
    const { waits, slots } = orchestrator.waits(service);
    const shown = serviceFor(call, presenter.service(service));
    const containers = store
      .containersOf(service.id)
      .map((container) => presenter.container(container))
      .filter(({ ready }) => !ready)
      .sort((a, b) => byName(a.name, b.name))
      .slice(0, maxTold)
      .map((container) => containerFor(call, container));
    const actions = openActions(store.actions.values(), service.id);
    const action = actions.at(-1) ?? this.#lastOfRollout(service);
    return {
      summary: summaryOf(service, orchestrator.status(service)),
      waits: this.#waitsToProto(waits),
      steps: action === undefined ? [] : stepsOf(call, action, { service, slots }),
      service: shown,
      containers,
      actions: actions.map((each) => actionFor(call, actionToProto(each))),
    };
  }

  #container(container: Container, service: Service, call: Call): Said {
    const { presenter, orchestrator } = this.#deps;
    const { waits } = orchestrator.waits(service);
    const own = waits.filter(({ containerId }) => containerId === container.id);
    const shown = containerFor(call, presenter.container(container));
    const [wait] = own;
    return {
      summary:
        wait === undefined ? `${shown.name} waits for nothing` : `waiting for ${wait.message}`,
      waits: this.#waitsToProto(own),
      steps: [],
      service: serviceFor(call, presenter.service(service)),
      containers: [shown],
      actions: [],
    };
  }

  #action(action: Action, call: Call): Said {
    const { store, presenter, orchestrator } = this.#deps;
    const service = action.serviceId === null ? undefined : store.services.get(action.serviceId);
    const goesOn = action.state === 'in-progress';
    const { waits, slots } =
      service === undefined || !goesOn ? nothing : orchestrator.waits(service);
    const summary =
      goesOn && service !== undefined
        ? summaryOf(service, orchestrator.status(service))
        : [`${action.method} ${endWords[action.state]}`, action.message].filter(Boolean).join(': ');
    return {
      summary,
      waits: this.#waitsToProto(waits),
      steps: stepsOf(call, action, { service, slots }),
      service: service === undefined ? undefined : serviceFor(call, presenter.service(service)),
      containers: [],
      actions: [actionFor(call, actionToProto(action))],
    };
  }

  /** What a rollout that stopped short did: the newest action on the service. */
  #lastOfRollout({ id, rollout }: Service): Action | undefined {
    if (rollout === null) return undefined;
    return [...this.#deps.store.actions.values()].findLast(
      ({ serviceId, timeline }) => serviceId === id && timeline.length > 0,
    );
  }

  #waitsToProto(waits: readonly Wait[]): ProtoWait[] {
    const { store, presenter } = this.#deps;
    const converted = waits.map(({ containerId, message, sinceMs, untilMs }) => {
      const record = containerId === null ? undefined : store.containers.get(containerId);
      const shown = record === undefined ? undefined : presenter.container(record);
      const { name = '', node = '', placement = [] } = shown ?? {};
      const times = { since: dateOf(sinceMs), until: dateOf(untilMs) };
      return { container: name, node, message, placement, ...times };
    });
    return converted.sort((a, b) => byName(a.container, b.container));
  }
}

const nothing = { waits: [], slots: new Map<number, SlotProgress>() };

const endWords = {
  'in-progress': 'goes on',
  succeeded: 'succeeded',
  failed: 'failed',
  superseded: 'was superseded',
  cancelled: 'was cancelled',
} as const satisfies Record<Action['state'], string>;

const stepStates = {
  waiting: RolloutStepState.WAITING,
  going: RolloutStepState.GOING,
  done: RolloutStepState.DONE,
  failed: RolloutStepState.FAILED,
} as const satisfies Record<SlotProgress, RolloutStepState>;

function summaryOf({ name }: Service, { state, message }: ServiceStatus): string {
  const stands = `${name} is ${state.replaceAll('-', ' ')}`;
  return message === '' ? stands : `${stands}: ${message}`;
}

/** What an action does to each container: by its timeline, and how far its slot is while it goes on. */
function stepsOf(
  call: Call,
  action: Action,
  {
    service,
    slots,
  }: { readonly service: Service | undefined; readonly slots: ReadonlyMap<number, SlotProgress> },
): RolloutStep[] {
  const { timeline } = actionFor(call, actionToProto(action));
  const told = groupBy(timeline, ({ container }) => container);
  const states = new Map(
    [...slots].map(([slot, state]) => [`${service?.name ?? ''}-${slot}`, state]),
  );
  const names = [...new Set([...told.keys(), ...states.keys()])].sort(byName);
  return names.slice(0, maxSteps).map((container) => {
    const entries = told.get(container) ?? [];
    const state = stateOf(action, container, states);
    const hasEnded = state === RolloutStepState.DONE || state === RolloutStepState.FAILED;
    return {
      container,
      state,
      beganAt: entries[0]?.time,
      endedAt: hasEnded || action.endedAtMs !== null ? entries.at(-1)?.time : undefined,
      entries,
    };
  });
}

function stateOf(
  { state }: Action,
  container: string,
  states: ReadonlyMap<string, SlotProgress>,
): RolloutStepState {
  if (container === '') return RolloutStepState.UNSPECIFIED;
  const progress = states.get(container);
  if (progress !== undefined) return stepStates[progress];
  // It is gone, as it was to be, or all there was to do is done.
  return state === 'in-progress' || state === 'succeeded'
    ? RolloutStepState.DONE
    : RolloutStepState.UNSPECIFIED;
}
