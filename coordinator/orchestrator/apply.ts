import type { ContainerId } from '../../shared/ids.ts';
import type { Container, Service } from '../model.ts';
import type { Transaction } from '../store/store.ts';
import { endAction, note, noteAfterwards, openActions } from './actions.ts';
import { withFailure, withoutFailures } from '../scheduler/failing.ts';
import { promoted } from './rollout.ts';
import type { Step } from './steps.ts';

/** Carries out steps of a plan on the desired state; the agents and proxies do the rest. */
export function applySteps(
  tx: Transaction,
  service: Service,
  steps: readonly Step[],
  newId: () => string,
): void {
  for (const step of steps) applyStep(tx, service, step, newId);
}

function applyStep(tx: Transaction, service: Service, step: Step, newId: () => string): void {
  switch (step.kind) {
    case 'create':
      create(tx, service, step, newId);
      return;
    case 'retire':
      retire(tx, service, step);
      return;
    case 'stop':
      stop(tx, service, step);
      return;
    case 'arrive':
      arrive(tx, step.containerId);
      return;
    case 'keep':
      keep(tx, service, step);
      return;
    case 'remove':
      update(tx, step.containerId, { wanted: 'removed', held: false });
      return;
    case 'forget':
      forget(tx, service, step.containerId);
      return;
    case 'fail-slot':
      failSlot(tx, service, step);
      return;
    case 'turn':
      turn(tx, service, step);
      return;
    case 'terminate':
      terminate(tx, service);
      return;
    case 'delete-service':
      deleteService(tx, service);
      return;
  }
}

function create(
  tx: Transaction,
  service: Service,
  step: Extract<Step, { kind: 'create' }>,
  newId: () => string,
): void {
  const id = newId() as ContainerId;
  const name = `${service.name}-${step.slot}`;
  tx.containers.put({
    id,
    serviceId: service.id,
    name,
    slot: step.slot,
    revision: step.revision,
    attempt: step.attempt,
    nodeId: null,
    pinnedTo: step.pinnedTo,
    definition: null,
    wanted: 'running',
    retirement: null,
    held: false,
    outdated: false,
    arrived: false,
    eviction: null,
    createdAtMs: tx.nowMs,
  });
  const canary = step.canary ? ' as a canary' : '';
  const why = step.attempt > 1 ? `, attempt ${step.attempt}` : '';
  note(tx, service.id, name, `preparing to deploy revision ${step.revision}${canary}${why}`);
}

function retire(tx: Transaction, service: Service, step: Extract<Step, { kind: 'retire' }>): void {
  const container = tx.containers.get(step.containerId);
  if (container === undefined) return;
  tx.containers.put({
    ...container,
    // What has no node never got anywhere: there is nothing to drain.
    wanted: container.nodeId === null ? 'removed' : 'draining',
    retirement: {
      reason: step.reason,
      then: step.then,
      startedAtMs: tx.nowMs,
      deadlineAtMs: tx.nowMs + service.spec.drainTimeoutMs,
    },
  });
  if (step.reason === 'failed') blame(tx, container);
  note(tx, service.id, container.name, `taking it away: ${step.reason}`);
}

/** It serves: what failed there before says nothing any more. */
function arrive(tx: Transaction, id: ContainerId): void {
  const container = tx.containers.get(id);
  if (container === undefined) return;
  tx.containers.put({ ...container, arrived: true });
  const service = tx.services.get(container.serviceId);
  if (service === undefined || container.nodeId === null) return;
  const at = { nodeId: container.nodeId, revision: container.revision };
  const failures = withoutFailures(service.failures, at);
  if (failures.length < service.failures.length) tx.services.put({ ...service, failures });
}

/** Its node is one where its revision failed. What served there for a while, or still does, is no such thing. */
function blame(tx: Transaction, { serviceId, nodeId, revision, arrived }: Container): void {
  const service = tx.services.get(serviceId);
  if (service === undefined || nodeId === null || arrived) return;
  const wanted = [service.revision, ...(service.base === null ? [] : [service.base.revision])];
  const failures = withFailure(service.failures, { nodeId, revision }, { nowMs: tx.nowMs, wanted });
  tx.services.put({ ...service, failures });
}

function stop(tx: Transaction, service: Service, step: Extract<Step, { kind: 'stop' }>): void {
  const container = tx.containers.get(step.containerId);
  if (container?.retirement == null) return;
  tx.containers.put({ ...container, wanted: container.retirement.then });
  revokeToken(tx, container);
  const drained = step.cut
    ? `not drained within ${service.spec.drainTimeoutMs} ms: cut`
    : 'drained';
  note(tx, service.id, container.name, `${drained}, stopping`);
  if (step.cut) {
    tx.event({
      type: 'container.drain-cut',
      objectId: container.id,
      objectName: container.name,
      actionId: '',
      message: `requests were still in flight after ${service.spec.drainTimeoutMs} ms`,
    });
  }
}

function forget(tx: Transaction, service: Service, id: ContainerId): void {
  const container = tx.containers.get(id);
  if (container === undefined) return;
  revokeToken(tx, container);
  // Before it is gone: an event on it is one of its service.
  tx.event({
    type: 'container.removed',
    objectId: id,
    objectName: container.name,
    actionId: '',
    message: container.retirement?.reason ?? '',
  });
  tx.containers.delete(id);
  note(tx, service.id, container.name, 'removed');
}

/** The one that was to be replaced stays; whoever asked for that is told that it failed. */
function keep(tx: Transaction, service: Service, step: Extract<Step, { kind: 'keep' }>): void {
  update(tx, step.containerId, { outdated: false });
  for (const action of openActions(tx.actions.values(), service.id)) {
    endAction(tx, action, 'failed', step.reason);
  }
}

function failSlot(
  tx: Transaction,
  service: Service,
  { slot, reason }: Extract<Step, { kind: 'fail-slot' }>,
): void {
  const current = tx.services.get(service.id);
  if (current?.rollout == null) return;
  const { rollout } = current;
  const failedSlots = [...rollout.failedSlots, slot];
  tx.services.put(written(current, { rollout: { ...rollout, failedSlots, reason } }));
  note(tx, service.id, `${service.name}-${slot}`, `given up: ${reason}`);
}

function turn(
  tx: Transaction,
  service: Service,
  { to, reason }: Extract<Step, { kind: 'turn' }>,
): void {
  const current = tx.services.get(service.id);
  if (current?.rollout == null) return;
  const { revision, alike, rollout } = current;
  if (to === 'finished') {
    tx.services.put(written(current, { rollout: null, base: { revision, alike } }));
  } else if (to === 'promoted') {
    tx.services.put(written(current, { rollout: promoted(rollout, tx.nowMs) }));
  } else {
    const failedSlots = to === 'rolling-back' ? [] : rollout.failedSlots;
    const turned = { ...rollout, state: to, reason, failedSlots, canaries: 0, sinceMs: tx.nowMs };
    tx.services.put(written(current, { rollout: turned }));
  }
  const sentence = sentenceOf(current, to, reason);
  if (rollout.canaries > 0 && to === 'rolling-back') canaryFailed(tx, current, sentence);
  else note(tx, service.id, '', sentence);
}

/** Whoever is to judge the canaries may have been told long ago that they serve. */
function canaryFailed(tx: Transaction, { id, name }: Service, message: string): void {
  const actionId = noteAfterwards(tx, id, message);
  tx.event({ type: 'service.canary-failed', objectId: id, objectName: name, actionId, message });
}

function written(service: Service, change: Partial<Service>): Service {
  const version = service.version + 1;
  return { ...service, ...change, version };
}

function sentenceOf(
  { revision, base }: Service,
  to: Extract<Step, { kind: 'turn' }>['to'],
  reason: string,
): string {
  switch (to) {
    case 'finished':
      return `revision ${revision} is rolled out`;
    case 'promoted':
      return `the canaries of revision ${revision} have proven themselves: it goes everywhere`;
    case 'failed':
      return `the rollout of revision ${revision} stops: ${reason}`;
    case 'rolling-back':
      return `going back to revision ${base?.revision ?? 0}: ${reason}`;
    case 'rolled-back':
      return `revision ${base?.revision ?? 0} is everywhere again`;
    case 'rollback-failed':
      return `going back failed as well: ${reason}`;
  }
}

/** Nobody asked for it now, so there is no action but those that wanted it to run, and it did. */
function terminate(tx: Transaction, service: Service): void {
  const current = tx.services.get(service.id);
  if (current === undefined) return;
  tx.services.put(written(current, { terminating: true, started: false }));
  const message = 'all of its containers have ended, and it removes itself then';
  note(tx, service.id, '', message);
  for (const action of openActions(tx.actions.values(), service.id)) {
    endAction(tx, action, 'succeeded', message);
  }
  const object = { objectId: service.id, objectName: service.name };
  tx.event({ type: 'service.removing', ...object, actionId: '', message });
}

function deleteService(tx: Transaction, service: Service): void {
  tx.services.delete(service.id);
  for (const action of openActions(tx.actions.values(), service.id)) {
    endAction(tx, action, 'succeeded', '');
  }
  tx.event({
    type: 'service.removed',
    objectId: service.id,
    objectName: service.name,
    actionId: '',
    message: '',
  });
}

function revokeToken(tx: Transaction, container: Container): void {
  const tokenId = container.definition?.tokenId;
  if (tokenId != null) tx.tokens.delete(tokenId);
}

function update(tx: Transaction, id: ContainerId, change: Partial<Container>): void {
  const container = tx.containers.get(id);
  if (container !== undefined) tx.containers.put({ ...container, ...change });
}
