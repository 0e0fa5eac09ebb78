import type { ContainerId } from '../../shared/ids.ts';
import { ContainerController, type ControllerDeps } from './container-controller.ts';
import type { EngineChange } from './docker/container-events.ts';
import type { ContainerEvent, EngineContainer } from './docker/engine.ts';
import type { ProcessExit, ProcessStart } from './docker/exit-events.ts';
import type { AssignmentSet } from './model.ts';

export interface WorkerDeps extends ControllerDeps {
  /** Told of containers that are dropped from memory. */
  readonly forget: (containerId: ContainerId) => void;
}

interface Running {
  readonly controller: ContainerController;
  readonly stop: AbortController;
  readonly ended: Promise<void>;
}

/**
 * Keeps one controller for each container that the coordinator assigned or that the engine has of this
 * node. Controllers are only ever added by what is seen or said, and only dropped when the coordinator
 * has no more interest: a container that is not mentioned is left alone.
 */
export class Worker {
  readonly #deps: WorkerDeps;
  readonly #controllers = new Map<ContainerId, Running>();
  /** Those that were dropped and have not ended yet. */
  readonly #ending = new Set<Promise<void>>();
  #isStopped = false;

  constructor(deps: WorkerDeps) {
    this.#deps = deps;
  }

  /** Takes what the coordinator wants. */
  apply({ complete, assignments, forgotten }: AssignmentSet): void {
    if (this.#isStopped) return;
    if (complete) {
      const assigned = new Set(assignments.map(({ containerId }) => containerId));
      for (const [containerId, { controller }] of this.#controllers) {
        if (assigned.has(containerId)) continue;
        // Left alone if the engine has it; otherwise there is nothing left to remember.
        if (controller.isGone) this.#drop(containerId);
        else controller.assign(undefined);
      }
    }
    for (const assignment of assignments) {
      this.#controllerOf(assignment.containerId).assign(assignment);
    }
    for (const containerId of forgotten) this.#drop(containerId);
  }

  /** Takes what the engine says; containers keep what they are while it is away. */
  handle(change: EngineChange): void {
    if (this.#isStopped) return;
    switch (change.kind) {
      case 'present':
        for (const container of change.containers) {
          this.#controllerOf(container.identity.containerId, container);
        }
        // The list is older than what a controller may have done meanwhile, so each looks itself.
        for (const { controller } of this.#controllers.values()) controller.engineReturned();
        return;
      case 'event':
        this.#handleEvent(change.event);
        return;
      case 'away':
        return;
    }
  }

  /** Takes the end of a process that the engine has not told of yet. */
  handleExit(exit: ProcessExit): void {
    if (this.#isStopped) return;
    for (const { controller } of this.#controllers.values()) {
      if (controller.engineId === exit.engineId) controller.handleExit(exit);
    }
  }

  /** Takes the start of a process that the engine has not told of yet. */
  handleStart({ engineId }: ProcessStart): void {
    if (this.#isStopped) return;
    for (const { controller } of this.#controllers.values()) {
      if (controller.engineId === engineId) controller.handleStart();
    }
  }

  /** Ends all controllers; their engine containers stay as they are. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const containerId of this.#controllers.keys()) this.#end(containerId, () => undefined);
    await Promise.all(this.#ending);
  }

  #handleEvent(event: ContainerEvent): void {
    // The last that is heard of a container that was dropped must not bring it back.
    if (event.kind === 'removed' && !this.#controllers.has(event.containerId)) return;
    this.#controllerOf(event.containerId).handle(event);
  }

  #controllerOf(containerId: ContainerId, adopted?: EngineContainer): ContainerController {
    const known = this.#controllers.get(containerId);
    if (known !== undefined) return known.controller;
    const controller = new ContainerController(this.#deps, containerId, adopted);
    const stop = new AbortController();
    this.#controllers.set(containerId, { controller, stop, ended: controller.run(stop.signal) });
    return controller;
  }

  #drop(containerId: ContainerId): void {
    // Not before its end: until then it may still report.
    this.#end(containerId, () => {
      this.#deps.forget(containerId);
    });
  }

  #end(containerId: ContainerId, then: () => void): void {
    const running = this.#controllers.get(containerId);
    if (running === undefined) return;
    this.#controllers.delete(containerId);
    running.stop.abort();
    const ended = running.ended.finally(() => {
      this.#ending.delete(ended);
      then();
    });
    this.#ending.add(ended);
  }
}
