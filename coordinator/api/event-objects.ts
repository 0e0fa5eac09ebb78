import {
  Event as ProtoEvent,
  type Event as ProtoEventType,
} from '../../shared/gen/fairlead/v1/event.ts';
import type { Action as ProtoAction } from '../../shared/gen/fairlead/v1/action.ts';
import type { Container as ProtoContainer } from '../../shared/gen/fairlead/v1/container.ts';
import type { Service as ProtoService } from '../../shared/gen/fairlead/v1/service.ts';
import type {
  ActionId,
  CertificateId,
  ContainerId,
  NodeClusterId,
  NodeId,
  ServiceId,
  TokenId,
} from '../../shared/ids.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Event } from '../model.ts';
import { kindOf, type KeptEvent } from '../store/event-log.ts';
import type { Store } from '../store/store.ts';
import { mayUse, type Access } from './authorization.ts';
import type { Call } from './call.ts';
import { actionToProto, tokenToProto } from './convert.ts';
import type { Presenter } from './present.ts';

type EventObject = NonNullable<ProtoEventType['object']>;

interface ObjectDeps {
  readonly store: Store;
  readonly presenter: Presenter;
}

/** Has events carry their objects from now on. What cannot be shown is left out: no change fails for that. */
export function carryObjects({ log, ...deps }: ObjectDeps & { readonly log: Logger }): void {
  deps.store.describeEvents((event) => {
    try {
      return encodeObject(event, deps);
    } catch (err) {
      log.error({ err, type: event.type }, 'object of an event left out');
      return null;
    }
  });
}

/**
 * The object of an event as the API shows it now, encoded to be kept; null: it has none. No variable and no
 * line of a log is in it: events outlive what they are about, and are read by more people.
 */
function encodeObject(event: Event, deps: ObjectDeps): Uint8Array | null {
  const object = objectOf(event, deps);
  return object === undefined ? null : ProtoEvent.encode(ProtoEvent.create({ object })).finish();
}

function objectOf(event: Event, deps: ObjectDeps): EventObject | undefined {
  const { store, presenter } = deps;
  const { type, objectId, actionId } = event;
  switch (kindOf(type)) {
    case 'service':
      return shown(store.services.get(objectId as ServiceId), (service) => ({
        $case: 'service',
        value: bareService(presenter.service(service)),
      }));
    case 'container':
      return shown(store.containers.get(objectId as ContainerId), (container) => ({
        $case: 'container',
        value: bareContainer(presenter.container(container)),
      }));
    case 'node':
      return shown(store.nodes.get(objectId as NodeId), (node) => ({
        $case: 'node',
        value: presenter.node(node),
      }));
    case 'action':
      return shown(store.actions.get(actionId as ActionId), (action) => ({
        $case: 'action',
        value: bareAction(actionToProto({ ...action, timeline: [], moves: null })),
      }));
    default:
      return rareObject(event, deps);
  }
}

function rareObject(
  { type, objectId, timeMs }: Event,
  { store, presenter }: ObjectDeps,
): EventObject | undefined {
  switch (kindOf(type)) {
    case 'node-cluster':
      return shown(store.clusters.get(objectId as NodeClusterId), (cluster) => ({
        $case: 'nodeCluster',
        value: presenter.nodeCluster(cluster),
      }));
    case 'token':
      return shown(store.tokens.get(objectId as TokenId), (token) => ({
        $case: 'token',
        value: tokenToProto(store, token, null),
      }));
    case 'certificate':
      return shown(store.certificates.get(objectId as CertificateId), (certificate) => ({
        $case: 'certificate',
        value: presenter.certificate(certificate, timeMs),
      }));
    default:
      return undefined;
  }
}

function shown<T>(row: T | undefined, show: (row: T) => EventObject): EventObject | undefined {
  return row === undefined ? undefined : show(row);
}

function bareService(service: ProtoService): ProtoService {
  const { spec } = service;
  const bare = spec === undefined ? undefined : { ...spec, environment: {} };
  return { ...service, spec: bare, linkVariables: {} };
}

function bareContainer(container: ProtoContainer): ProtoContainer {
  return { ...container, environment: {}, failure: undefined };
}

/** Who may cancel is told by the action itself, while it goes on. */
function bareAction(action: ProtoAction): ProtoAction {
  return { ...action, cancellable: false };
}

/** What a caller needs to be let in to, to read an object of an event. */
const accesses: Readonly<Record<EventObject['$case'], Access>> = {
  service: 'read',
  container: 'read',
  action: 'read',
  node: 'read-fleet',
  nodeCluster: 'read-fleet',
  certificate: 'read-fleet',
  token: 'administer',
};

/** An event as the caller may see it: with its object, where they may read such objects. */
export function eventFor({ principal }: Call, event: KeptEvent): ProtoEventType {
  const { cursor, timeMs, type, objectId, objectName, actionId, message } = event;
  const object = event.object === null ? undefined : ProtoEvent.decode(event.object).object;
  return {
    ...{ cursor: String(cursor), time: new Date(timeMs), type },
    ...{ objectId, objectName, actionId, message },
    object: object !== undefined && mayUse(principal, accesses[object.$case]) ? object : undefined,
  };
}
