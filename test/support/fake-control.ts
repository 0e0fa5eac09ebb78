import { BinaryWriter } from '@bufbuild/protobuf/wire';
import {
  createServer,
  ServerError,
  Status,
  type CallContext,
  type Server,
  type ServerMiddleware,
} from 'nice-grpc';
import { ActionState, PlanStepKind, type Action } from '../../shared/gen/fairlead/v1/action.ts';
import { Container, ContainerPhase } from '../../shared/gen/fairlead/v1/container.ts';
import {
  ControlServiceDefinition,
  type ControlServiceImplementation,
  type ExplainRequest,
  type ExplainResponse,
  type WatchEventsRequest,
  type WatchServicesRequest,
} from '../../shared/gen/fairlead/v1/control_service.ts';
import type { Wait } from '../../shared/gen/fairlead/v1/explanation.ts';
import { Endpoint, EndpointKind, type Event } from '../../shared/gen/fairlead/v1/event.ts';
import type { Proxy } from '../../shared/gen/fairlead/v1/load_balancer.ts';
import { Availability, type Node } from '../../shared/gen/fairlead/v1/node.ts';
import { Service, ServiceSpec, ServiceState } from '../../shared/gen/fairlead/v1/service.ts';
import { Role, Token } from '../../shared/gen/fairlead/v1/token.ts';
import type { FieldViolation } from '../../shared/errors.ts';
import { Wakeup } from '../../shared/wakeup.ts';
import { Collection, type Batch } from './fake-collection.ts';
import { testAuthority } from './test-authority.ts';

export const adminToken = testAuthority.token('admin');
export const viewerToken = testAuthority.token('viewer');

/** What the next call of a method is refused with. */
export interface Refusal {
  readonly status: Status;
  readonly message: string;
  readonly reason?: string;
  readonly violations?: readonly FieldViolation[];
  /** Carries the request out all the same, so that only its answer is lost. */
  readonly afterwards?: boolean;
}

/**
 * A coordinator without a fleet: a real gRPC server of ControlService over a model in memory.
 *
 * Actions succeed at once, and what they asked for is then so; with `holdActions` they wait for
 * `finishAction`. It is the seam for tests of the client and the CLI, where a test must decide when
 * and how things go wrong.
 */
export class FakeControl implements AsyncDisposable {
  readonly services = new Collection<Service>(({ name }) => name);
  readonly containers = new Collection<Container>(({ name }) => name);
  readonly nodes = new Collection<Node>(({ name }) => name);
  readonly endpoints = new Collection<Endpoint>(({ container, url }) => `${container} ${url}`);
  readonly proxies = new Collection<Proxy>(({ name }) => name);
  readonly actions = new Collection<Action>(({ id }) => id);
  readonly tokens = new Collection<Token>(({ name }) => name);
  readonly events = new Collection<Event & { readonly id: string }>(({ cursor }) => cursor);
  /** Every call, oldest first. */
  readonly requests: { readonly method: string; readonly request: unknown }[] = [];
  /** What Explain says is waited for. */
  readonly waits: Wait[] = [];
  holdActions = false;
  /** Never answers a call, until it is given up. */
  holdAnswers = false;
  readonly #refusals = new Map<string, Refusal[]>();
  readonly #effects = new Map<string, () => void>();
  readonly #byRequestId = new Map<string, string>();
  #server: Server | undefined;
  #port = 0;
  #ids = 0;

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Listens; on the same port again after a stop, with what it knew. */
  async start(): Promise<void> {
    this.#server = createServer().use(this.#middleware());
    this.#server.add(ControlServiceDefinition, this.#implementation());
    this.#port = await this.#server.listen(
      `127.0.0.1:${this.#port}`,
      testAuthority.serverCredentials(),
    );
  }

  /** Cuts every connection. */
  stop(): void {
    this.#server?.forceShutdown();
    this.#server = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    await Promise.resolve();
  }

  /** 32 hexadecimal digits that count up. */
  newId(): string {
    return (++this.#ids).toString(16).padStart(32, '0');
  }

  /** The next calls of a method, `/fairlead.v1.ControlService/` left out, are refused in this order. */
  refuse(method: string, ...refusals: Refusal[]): void {
    this.#refusals.set(method, [...(this.#refusals.get(method) ?? []), ...refusals]);
  }

  /** The requests of one method, oldest first. */
  requestsOf(method: string): unknown[] {
    return this.requests.flatMap((entry) => (entry.method === method ? [entry.request] : []));
  }

  addService(name: string, spec: Partial<ServiceSpec> = {}, started = true): Service {
    const service = Service.fromPartial({
      id: this.newId(),
      name,
      spec: ServiceSpec.fromPartial({ image: 'registry/web:1', replicas: 1, ...spec }),
      revision: 1,
      version: 1,
      state: ServiceState.NOT_RUNNING,
      createdAt: new Date(1_700_000_000_000),
      updatedAt: new Date(1_700_000_000_000),
    });
    this.services.put(service);
    return this.settle({ ...service, started });
  }

  /** Makes a service be as it is defined. */
  settle(service: Service): Service {
    const wanted = service.started ? (service.spec?.replicas ?? 1) : 0;
    for (const { id, slot } of this.containersOf(service)) {
      if (slot > wanted || !service.started) this.containers.remove(id);
    }
    for (const { id, service: owner } of this.endpoints.list()) {
      if (owner === service.name) this.endpoints.remove(id);
    }
    for (let slot = 1; slot <= wanted; slot++) this.#fillSlot(service, slot);
    return this.services.put({
      ...service,
      state: service.started ? ServiceState.RUNNING : ServiceState.STOPPED,
      currentContainers: wanted,
      runningContainers: wanted,
      readyContainers: wanted,
    });
  }

  containersOf({ name }: { readonly name: string }): Container[] {
    return this.containers.list().filter(({ service }) => service === name);
  }

  #fillSlot(service: Service, slot: number): void {
    const name = `${service.name}-${slot}`;
    const nodes = this.nodes.list();
    const node = nodes[(slot - 1) % Math.max(1, nodes.length)];
    const existing = this.containers.find(name);
    const ports = (service.spec?.ports ?? []).map(
      ({ containerPort, protocol, published, hostPort }) => ({
        containerPort,
        protocol,
        hostAddress: '0.0.0.0',
        hostPort: hostPort === 0 ? 49_152 + slot : hostPort,
        published,
      }),
    );
    const container = this.containers.put(
      Container.fromPartial({
        id: existing?.id ?? this.newId(),
        name,
        service: service.name,
        serviceId: service.id,
        slot,
        revision: service.revision,
        node: node?.name ?? '',
        nodeId: node?.id ?? '',
        phase: ContainerPhase.RUNNING,
        ready: true,
        ports,
        createdAt: new Date(1_700_000_000_000),
        startedAt: new Date(1_700_000_000_000),
      }),
    );
    for (const { containerPort, hostPort, published } of ports) {
      if (!published) continue;
      this.endpoints.put(
        Endpoint.fromPartial({
          id: `${container.id}:${containerPort}`,
          kind: EndpointKind.CONTAINER,
          service: service.name,
          container: name,
          node: container.node,
          url: `http://198.51.100.7:${hostPort}`,
          containerPort,
          hostPort,
          ready: true,
        }),
      );
    }
  }

  /** Adds a line to the timeline of an action. */
  addProgress(actionId: string, container: string, message: string): void {
    const action = this.#actionOf(actionId);
    const entry = { time: new Date(1_700_000_000_000), container, message, lines: [] };
    this.actions.put({ ...action, timeline: [...action.timeline, entry] });
  }

  /** Ends an action; one that succeeds makes things be as it asked. */
  finishAction(actionId: string, state: ActionState = ActionState.SUCCEEDED, message = ''): void {
    if (state === ActionState.SUCCEEDED) this.#effects.get(actionId)?.();
    this.actions.put({
      ...this.#actionOf(actionId),
      state,
      message,
      endedAt: new Date(1_700_000_001_000),
    });
  }

  addEvent(type: string, objectName: string, message: string): Event {
    const cursor = String(this.events.list().length + 1);
    return this.events.put({
      id: cursor,
      cursor,
      time: new Date(1_700_000_000_000),
      type,
      objectId: '',
      objectName,
      actionId: '',
      message,
      object: undefined,
    });
  }

  #actionOf(id: string): Action {
    const action = this.actions.find(id);
    if (action === undefined)
      throw refused({
        status: Status.NOT_FOUND,
        message: `no action ${id}`,
        reason: 'ACTION_NOT_FOUND',
      });
    return action;
  }

  #act(
    method: string,
    target: { readonly kind: string; readonly id: string; readonly name: string },
    requestId: string,
    effect: () => void,
  ): Action {
    const known = this.#byRequestId.get(requestId);
    if (known !== undefined) return this.#actionOf(known);
    const id = this.newId();
    if (requestId !== '') this.#byRequestId.set(requestId, id);
    this.#effects.set(id, effect);
    this.actions.put({
      id,
      method,
      targetKind: target.kind,
      targetId: target.id,
      targetName: target.name,
      state: ActionState.IN_PROGRESS,
      message: '',
      principal: 'admin',
      peer: '127.0.0.1:1',
      requestId,
      timeline: [],
      startedAt: new Date(1_700_000_000_000),
      endedAt: undefined,
      moves: [],
      cancellable: true,
    });
    if (!this.holdActions) this.finishAction(id);
    return this.#actionOf(id);
  }

  #serviceOf(nameOrId: string): Service {
    return found(this.services.find(nameOrId), 'service', nameOrId);
  }

  #mutateService(
    method: string,
    { service: name, options }: { readonly service: string; readonly options: Options },
    change: (service: Service) => Service,
  ) {
    const service = this.#serviceOf(name);
    checkVersion(service, options);
    if (options?.dryRun === true) return { ...noAnswer, service, plan: planOf(service) };
    const changed = this.services.put({
      ...change(service),
      version: service.version + 1,
    });
    const action = this.#act(
      method,
      { kind: 'service', id: service.id, name: service.name },
      options?.requestId ?? '',
      () => this.settle(this.#serviceOf(service.id)),
    );
    return { ...noAnswer, service: this.#serviceOf(changed.id), action };
  }

  #mutateContainer(
    method: string,
    { container: name, options }: { readonly container: string; readonly options: Options },
    effect: (container: Container) => void,
  ) {
    const container = found(this.containers.find(name), 'container', name);
    const action = this.#act(
      method,
      { kind: 'container', id: container.id, name: container.name },
      options?.requestId ?? '',
      () => {
        effect(container);
      },
    );
    return { ...noAnswer, container, action };
  }

  #middleware(): ServerMiddleware {
    const takeRefusal = (method: string) => this.#refusals.get(method)?.shift();
    const record = (method: string, request: unknown) => {
      this.requests.push({ method, request });
    };
    const hold = async (signal: AbortSignal) => {
      if (this.holdAnswers) await new Wakeup().wait(signal);
    };
    return async function* (call, context) {
      const method = call.method.path.slice(call.method.path.lastIndexOf('/') + 1);
      record(method, call.request);
      try {
        authorize(method, context);
        await hold(context.signal);
        const refusal = takeRefusal(method);
        if (refusal !== undefined && refusal.afterwards !== true) throw refused(refusal);
        const answer = yield* call.next(call.request, context);
        if (refusal !== undefined) throw refused(refusal);
        return answer;
      } catch (error) {
        const refusal = error instanceof ServerError ? refusals.get(error) : undefined;
        if (refusal !== undefined) setTrailer(refusal, context);
        throw error;
      }
    };
  }

  #implementation(): ControlServiceImplementation {
    return {
      ...this.#general(),
      ...this.#serviceMethods(),
      ...this.#containerMethods(),
      ...this.#nodeMethods(),
      ...notPlayed,
      ...this.#listMethods(),
    };
  }

  #general(): Methods<
    'getInfo' | 'createToken' | 'revokeToken' | 'explain' | 'listEvents' | 'watchEvents'
  > {
    return {
      getInfo: async (_request, context) =>
        await Promise.resolve({
          version: '0.1.0',
          protocolVersion: 1,
          installationId: 'f'.repeat(32),
          startedAt: new Date(1_700_000_000_000),
          principal: roleOf(context) === Role.ADMIN ? 'admin' : 'viewer',
          role: roleOf(context),
        }),
      createToken: async (request) => {
        const token = this.tokens.put(
          Token.fromPartial({
            id: this.newId(),
            name: request.name,
            role: request.role,
            serviceIds: request.services,
            tags: request.tags,
            createdAt: new Date(1_700_000_000_000),
          }),
        );
        const action = this.#act(
          'CreateToken',
          { kind: 'token', id: token.id, name: token.name },
          request.options?.requestId ?? '',
          () => undefined,
        );
        return await Promise.resolve({
          token,
          secret: `secret-of-${token.name}`,
          action,
          plan: undefined,
        });
      },
      revokeToken: async (request) => {
        const token = found(this.tokens.find(request.token), 'token', request.token);
        const action = this.#act(
          'RevokeToken',
          { kind: 'token', id: token.id, name: token.name },
          request.options?.requestId ?? '',
          () => {
            this.tokens.remove(token.id);
          },
        );
        return await Promise.resolve({ token, action, plan: undefined });
      },
      explain: async ({ subject }) =>
        await Promise.resolve({
          ...{ time: new Date(1_700_000_000_000), summary: '', moreWaits: 0 },
          ...{ waits: [...this.waits], steps: [], actions: [], containers: [] },
          ...this.#explained(subject),
        }),
      listEvents: async ({ cursor, limit, types }) => {
        const events = this.events
          .list()
          .filter((event) => Number(event.cursor) > Number(cursor) && isOfTypes(event, types))
          .slice(0, limit === 0 ? 100 : limit);
        const reached = events.at(-1)?.cursor ?? String(this.events.list().length);
        return await Promise.resolve({ events, cursor: reached });
      },
      watchEvents: (request, { signal }) => this.#watchEvents(request, signal),
    };
  }

  #explained(subject: ExplainRequest['subject']): Partial<ExplainResponse> {
    switch (subject?.$case) {
      case 'container':
        return {
          containers: [found(this.containers.find(subject.value), 'container', subject.value)],
        };
      case 'action':
        return { actions: [this.#actionOf(subject.value)] };
      case 'service':
      case undefined: {
        const service = this.#serviceOf(subject?.value ?? '');
        const containers = this.containers
          .list()
          .filter(({ serviceId, ready }) => serviceId === service.id && !ready);
        return { service, containers };
      }
    }
  }

  async *#watchEvents({ cursor, types, until }: WatchEventsRequest, signal: AbortSignal) {
    const from = cursor === '' ? String(this.events.list().length) : cursor;
    yield { cursor: from, events: [] };
    for await (const batch of this.events.watch({ matches: () => true, cursor: '' }, signal)) {
      const events = batch.items.filter(
        (event) => Number(event.cursor) > Number(from) && isOfTypes(event, types),
      );
      if (events.length > 0) yield { cursor: events.at(-1)?.cursor ?? '', events };
      // What is to come is later than any time that a test asks for.
      if (until !== undefined) return;
    }
  }

  #serviceMethods(): Methods<
    | 'createService'
    | 'getService'
    | 'updateService'
    | 'scaleService'
    | 'startService'
    | 'stopService'
    | 'redeployService'
    | 'removeService'
    | 'addLink'
    | 'removeLink'
  > {
    return {
      createService: async (request) => {
        if (this.services.find(request.name) !== undefined) {
          const known = this.#byRequestId.get(request.options?.requestId ?? ' ');
          if (known === undefined) {
            throw refused({
              status: Status.ALREADY_EXISTS,
              message: `a service named "${request.name}" exists`,
              reason: 'SERVICE_NAME_TAKEN',
            });
          }
        }
        if (request.options?.dryRun === true) {
          const service = Service.fromPartial({ name: request.name, ...defined(request.spec) });
          return await Promise.resolve({ ...noAnswer, service, plan: planOf(service) });
        }
        const existing = this.services.find(request.name);
        const service =
          existing ??
          this.services.put(
            Service.fromPartial({
              id: this.newId(),
              name: request.name,
              ...defined(request.spec),
              revision: 1,
              version: 1,
              started: request.start,
              state: request.start ? ServiceState.STARTING : ServiceState.NOT_RUNNING,
            }),
          );
        const action = this.#act(
          'CreateService',
          { kind: 'service', id: service.id, name: service.name },
          request.options?.requestId ?? '',
          () => {
            if (request.start) this.settle(service);
          },
        );
        return await Promise.resolve({
          ...noAnswer,
          service: this.#serviceOf(service.id),
          action,
        });
      },
      getService: async ({ service }) =>
        await Promise.resolve({ service: this.#serviceOf(service) }),
      updateService: async (request) =>
        await Promise.resolve(
          this.#mutateService('UpdateService', request, (service) => ({
            ...service,
            revision: service.revision + 1,
            spec: masked(service.spec, request.spec, request.updateMask ?? []),
          })),
        ),
      scaleService: async (request) =>
        await Promise.resolve(
          this.#mutateService('ScaleService', request, (service) => ({
            ...service,
            state: ServiceState.SCALING,
            spec: ServiceSpec.fromPartial({ ...service.spec, replicas: request.replicas }),
          })),
        ),
      startService: async (request) =>
        await Promise.resolve(
          this.#mutateService('StartService', request, (service) => ({
            ...service,
            started: true,
          })),
        ),
      stopService: async (request) =>
        await Promise.resolve(
          this.#mutateService('StopService', request, (service) => ({
            ...service,
            started: false,
          })),
        ),
      redeployService: async (request) =>
        await Promise.resolve(
          this.#mutateService('RedeployService', request, (service) => ({
            ...service,
            revision: service.revision + 1,
          })),
        ),
      removeService: async (request) => {
        const answer = this.#mutateService('RemoveService', request, (service) => ({
          ...service,
          started: false,
          state: ServiceState.TERMINATING,
        }));
        const { id } = answer.service;
        if (answer.action !== undefined && answer.action.state === ActionState.SUCCEEDED) {
          this.services.remove(id);
        } else if (answer.action !== undefined) {
          this.#effects.set(answer.action.id, () => {
            this.services.remove(id);
          });
        }
        return await Promise.resolve(answer);
      },
      addLink: async (request) =>
        await Promise.resolve(
          this.#mutateService('AddLink', request, (service) => ({
            ...service,
            spec: ServiceSpec.fromPartial({
              ...service.spec,
              links: [...(service.spec?.links ?? []), request.link ?? {}],
            }),
          })),
        ),
      removeLink: async (request) =>
        await Promise.resolve(
          this.#mutateService('RemoveLink', request, (service) => ({
            ...service,
            spec: ServiceSpec.fromPartial({
              ...service.spec,
              links: (service.spec?.links ?? []).filter(({ alias }) => alias !== request.alias),
            }),
          })),
        ),
    };
  }

  #containerMethods(): Methods<
    'getContainer' | 'startContainer' | 'stopContainer' | 'redeployContainer' | 'removeContainer'
  > {
    return {
      getContainer: async ({ container }) =>
        await Promise.resolve({
          container: found(this.containers.find(container), 'container', container),
        }),
      startContainer: async (request) =>
        await Promise.resolve(
          this.#mutateContainer('StartContainer', request, (container) => {
            this.containers.put({ ...container, phase: ContainerPhase.RUNNING, ready: true });
          }),
        ),
      stopContainer: async (request) =>
        await Promise.resolve(
          this.#mutateContainer('StopContainer', request, (container) => {
            this.containers.put({ ...container, phase: ContainerPhase.STOPPED, ready: false });
          }),
        ),
      redeployContainer: async (request) =>
        await Promise.resolve(
          this.#mutateContainer('RedeployContainer', request, (container) => {
            this.containers.remove(container.id);
            this.containers.put({ ...container, id: this.newId() });
          }),
        ),
      removeContainer: async (request) =>
        await Promise.resolve(
          this.#mutateContainer('RemoveContainer', request, (container) => {
            this.containers.remove(container.id);
          }),
        ),
    };
  }

  #nodeMethods(): Methods<
    'getNode' | 'updateNode' | 'drainNode' | 'removeNode' | 'adoptOrphan' | 'discardOrphan'
  > {
    const noOrphan = () => {
      throw refused({
        status: Status.NOT_FOUND,
        message: 'there are no orphans',
        reason: 'ORPHAN_NOT_FOUND',
      });
    };
    return {
      adoptOrphan: noOrphan,
      discardOrphan: noOrphan,
      getNode: async ({ node }) =>
        await Promise.resolve({ node: found(this.nodes.find(node), 'node', node) }),
      updateNode: async (request) => {
        const node = found(this.nodes.find(request.node), 'node', request.node);
        checkVersion(node, request.options);
        const mask = request.updateMask ?? [];
        const changed = this.nodes.put({
          ...node,
          version: node.version + 1,
          tags: mask.includes('tags') ? request.tags : node.tags,
          availability: mask.includes('availability') ? request.availability : node.availability,
        });
        const target = { kind: 'node', id: node.id, name: node.name };
        const action = this.#act(
          'UpdateNode',
          target,
          request.options?.requestId ?? '',
          () => undefined,
        );
        return await Promise.resolve({ node: changed, action, plan: undefined });
      },
      drainNode: async (request) => {
        const node = found(this.nodes.find(request.node), 'node', request.node);
        checkVersion(node, request.options);
        const { parallelism, force } = request;
        const drain = { since: undefined, parallelism, deadlineAt: undefined, force, remaining: 0 };
        const changed = this.nodes.put({
          ...node,
          ...{ version: node.version + 1, availability: Availability.DRAINING, drain },
        });
        const target = { kind: 'node', id: node.id, name: node.name };
        const requestId = request.options?.requestId ?? '';
        const action = this.#act('DrainNode', target, requestId, () => undefined);
        return await Promise.resolve({ node: changed, action, plan: undefined });
      },
      removeNode: async (request) => {
        const node = found(this.nodes.find(request.node), 'node', request.node);
        if (this.containers.list().some(({ nodeId }) => nodeId === node.id)) {
          throw refused({
            status: Status.FAILED_PRECONDITION,
            message: `node ${node.name} has containers`,
            reason: 'NODE_NOT_EMPTY',
          });
        }
        const target = { kind: 'node', id: node.id, name: node.name };
        const action = this.#act('RemoveNode', target, request.options?.requestId ?? '', () => {
          this.nodes.remove(node.id);
        });
        return await Promise.resolve({ node, action, plan: undefined });
      },
    };
  }

  #listMethods(): Methods<
    | 'listServices'
    | 'watchServices'
    | 'listContainers'
    | 'watchContainers'
    | 'listNodes'
    | 'watchNodes'
    | 'listEndpoints'
    | 'watchEndpoints'
    | 'listProxies'
    | 'watchProxies'
    | 'getAction'
    | 'listActions'
    | 'watchActions'
    | 'listTokens'
    | 'watchTokens'
  > {
    const byService = (names: readonly string[]) => (item: { readonly service: string }) =>
      names.length === 0 ||
      names.some(
        (name) => this.services.find(name)?.name === item.service || name === item.service,
      );
    const services = (request: Omit<WatchServicesRequest, 'cursor'>) => (item: Service) =>
      (request.services.length === 0 ||
        request.services.some((name) => name === item.name || name === item.id)) &&
      request.labels.every((label) =>
        Object.entries(item.spec?.labels ?? {}).some(
          ([key, value]) => label === key || label === `${key}=${value}`,
        ),
      ) &&
      (request.strategies.length === 0 ||
        request.strategies.some((strategy) => strategy === item.spec?.strategy)) &&
      (request.nodes.length === 0 ||
        this.containers
          .list()
          .some(({ service, node }) => service === item.name && request.nodes.includes(node)));
    const containers =
      (request: { readonly services: string[]; readonly nodes: string[] }) => (item: Container) =>
        byService(request.services)(item) &&
        (request.nodes.length === 0 || request.nodes.includes(item.node));
    const tagged = (tags: readonly string[]) => (item: Node) =>
      tags.every((tag) => item.tags.includes(tag));
    const actions =
      (request: { readonly target: string; readonly inProgress: boolean }) => (item: Action) =>
        (request.target === '' || [item.targetId, item.targetName].includes(request.target)) &&
        (!request.inProgress || item.state === ActionState.IN_PROGRESS);
    const tokens = (role: Role) => (item: Token) => role === Role.UNSPECIFIED || item.role === role;
    return {
      listServices: async (request) =>
        await Promise.resolve({
          services: this.services.list().filter(services(request)),
        }),
      watchServices: (request, context: CallContext) =>
        renamed(
          this.services.watch(
            { matches: services(request), cursor: request.cursor },
            context.signal,
          ),
          (items) => ({
            services: items,
          }),
        ),
      listContainers: async (request) =>
        await Promise.resolve({ containers: this.containers.list().filter(containers(request)) }),
      watchContainers: (request, context: CallContext) =>
        renamed(
          this.containers.watch(
            { matches: containers(request), cursor: request.cursor },
            context.signal,
          ),
          (items) => ({
            containers: items,
          }),
        ),
      listNodes: async (request) =>
        await Promise.resolve({ nodes: this.nodes.list().filter(tagged(request.tags)) }),
      watchNodes: (request, context: CallContext) =>
        renamed(
          this.nodes.watch(
            { matches: tagged(request.tags), cursor: request.cursor },
            context.signal,
          ),
          (items) => ({
            nodes: items,
          }),
        ),
      listEndpoints: async (request) =>
        await Promise.resolve({
          endpoints: this.endpoints.list().filter(byService(request.services)),
        }),
      watchEndpoints: (request, context: CallContext) =>
        renamed(
          this.endpoints.watch(
            { matches: byService(request.services), cursor: request.cursor },
            context.signal,
          ),
          (items) => ({
            endpoints: items,
          }),
        ),
      listProxies: async (request) =>
        await Promise.resolve({ proxies: this.proxies.list().filter(byService(request.services)) }),
      watchProxies: (request, context: CallContext) =>
        renamed(
          this.proxies.watch(
            { matches: byService(request.services), cursor: request.cursor },
            context.signal,
          ),
          (items) => ({
            proxies: items,
          }),
        ),
      getAction: async ({ action }) => await Promise.resolve({ action: this.#actionOf(action) }),
      listActions: async (request) =>
        await Promise.resolve({
          actions: this.actions
            .list()
            .filter(actions(request))
            .reverse()
            .slice(0, request.limit === 0 ? 100 : request.limit),
        }),
      watchActions: (request, context: CallContext) =>
        renamed(
          this.actions.watch({ matches: actions(request), cursor: request.cursor }, context.signal),
          (items) => ({
            actions: items,
          }),
        ),
      listTokens: async (request) =>
        await Promise.resolve({ tokens: this.tokens.list().filter(tokens(request.role)) }),
      watchTokens: (request, context: CallContext) =>
        renamed(
          this.tokens.watch(
            { matches: tokens(request.role), cursor: request.cursor },
            context.signal,
          ),
          (items) => ({
            tokens: items,
          }),
        ),
    };
  }
}

/** The command line is tried with those of a real coordinator. */
const refuse = (): never => {
  throw new ServerError(Status.UNIMPLEMENTED, 'this is not played here');
};
const notPlayed: Methods<
  | 'createNodeCluster'
  | 'getNodeCluster'
  | 'updateNodeCluster'
  | 'removeNodeCluster'
  | 'listNodeClusters'
  | 'watchNodeClusters'
  | 'getTrust'
  | 'rotateAuthority'
  | 'finishRotation'
  | 'listRevisions'
  | 'diffRevisions'
  | 'rollbackService'
  | 'pauseService'
  | 'resumeService'
  | 'promoteService'
  | 'cancelAction'
  | 'upgradeNodes'
  | 'rebalanceServices'
  | 'containerLogs'
  | 'serviceLogs'
  | 'execContainer'
  | 'putCertificate'
  | 'getCertificate'
  | 'listCertificates'
  | 'watchCertificates'
  | 'removeCertificate'
  | 'removeProxy'
> = {
  execContainer: refuse,
  containerLogs: refuse,
  serviceLogs: refuse,
  createNodeCluster: refuse,
  getNodeCluster: refuse,
  updateNodeCluster: refuse,
  removeNodeCluster: refuse,
  listNodeClusters: refuse,
  watchNodeClusters: refuse,
  getTrust: refuse,
  rotateAuthority: refuse,
  finishRotation: refuse,
  listRevisions: refuse,
  diffRevisions: refuse,
  rollbackService: refuse,
  pauseService: refuse,
  resumeService: refuse,
  promoteService: refuse,
  cancelAction: refuse,
  upgradeNodes: refuse,
  rebalanceServices: refuse,
  putCertificate: refuse,
  getCertificate: refuse,
  listCertificates: refuse,
  watchCertificates: refuse,
  removeCertificate: refuse,
  removeProxy: refuse,
};

/** A started FakeControl. */
export async function startFakeControl(): Promise<FakeControl> {
  const fake = new FakeControl();
  await fake.start();
  return fake;
}

type Methods<Name extends keyof ControlServiceImplementation> = Pick<
  ControlServiceImplementation,
  Name
>;

type Options =
  { readonly version: number; readonly requestId: string; readonly dryRun: boolean } | undefined;

const noAnswer = { action: undefined, plan: undefined };

function defined(spec: ServiceSpec | undefined): { spec?: ServiceSpec } {
  return spec === undefined ? {} : { spec };
}

async function* renamed<T, Named>(
  batches: AsyncIterable<Batch<T>>,
  rename: (items: T[]) => Named,
): AsyncGenerator<Named & Omit<Batch<T>, 'items'>> {
  for await (const { items, ...rest } of batches) yield { ...rest, ...rename(items) };
}

function roleOf({ metadata }: CallContext): Role {
  switch (metadata.get('authorization') ?? '') {
    case `Bearer ${adminToken}`:
      return Role.ADMIN;
    case `Bearer ${viewerToken}`:
      return Role.VIEWER;
    default:
      return Role.UNSPECIFIED;
  }
}

function authorize(method: string, context: CallContext): void {
  const role = roleOf(context);
  if (role === Role.UNSPECIFIED) {
    throw refused({
      status: Status.UNAUTHENTICATED,
      message: 'the token is not known',
      reason: 'TOKEN_UNKNOWN',
    });
  }
  if (role === Role.VIEWER && !/^(Get|List|Watch)/.test(method)) {
    throw refused({
      status: Status.PERMISSION_DENIED,
      message: `${method} needs the role operator; this token is a viewer's`,
      reason: 'ROLE_TOO_SMALL',
    });
  }
}

function isOfTypes({ type }: Event, types: readonly string[]): boolean {
  return types.length === 0 || types.some((each) => type === each || type.startsWith(`${each}.`));
}

function found<T>(item: T | undefined, kind: string, name: string): T {
  if (item !== undefined) return item;
  throw refused({
    status: Status.NOT_FOUND,
    message: `no ${kind} is called "${name}"`,
    reason: `${kind.toUpperCase()}_NOT_FOUND`,
  });
}

function checkVersion(item: { readonly version: number }, options: Options): void {
  if (options === undefined || options.version === 0 || options.version === item.version) return;
  throw refused({
    status: Status.ABORTED,
    message: `version ${options.version} was read, and it is ${item.version} now`,
    reason: 'VERSION_MISMATCH',
  });
}

function planOf(service: Service) {
  return {
    steps: [
      {
        kind: PlanStepKind.START,
        container: `${service.name}-1`,
        node: 'node-1',
        reason: 'slot 1 is empty',
        placement: [],
      },
      {
        kind: PlanStepKind.UNPLACEABLE,
        container: `${service.name}-2`,
        node: '',
        reason: 'no node can take it',
        placement: [{ node: 'node-1', filter: 'TAG_MISSING', reason: 'has not the tag "web"' }],
      },
    ],
  };
}

/** The fields that a mask names, in proto names of one or two parts. */
function masked(
  old: ServiceSpec | undefined,
  wanted: ServiceSpec | undefined,
  mask: readonly string[],
): ServiceSpec {
  if (mask.length === 0) return ServiceSpec.fromPartial(wanted ?? {});
  const result = ServiceSpec.toJSON(ServiceSpec.fromPartial(old ?? {})) as Record<string, unknown>;
  const source = ServiceSpec.toJSON(ServiceSpec.fromPartial(wanted ?? {})) as Record<
    string,
    unknown
  >;
  for (const path of mask) {
    const [outer = '', inner] = path.split('.').map(camel);
    if (inner === undefined) {
      result[outer] = source[outer];
    } else {
      const part = source[outer] as Record<string, unknown> | undefined;
      result[outer] = { ...(result[outer] as object | undefined), [inner]: part?.[inner] };
    }
  }
  return ServiceSpec.fromJSON(result);
}

function camel(name: string): string {
  return name.replaceAll(/_([a-z])/g, (_match, letter: string) => letter.toUpperCase());
}

const refusals = new WeakMap<object, Refusal>();

/** The error of a refusal; the middleware sends the trailers that the coordinator would. */
function refused(refusal: Refusal): ServerError {
  const error = new ServerError(refusal.status, refusal.message);
  refusals.set(error, refusal);
  return error;
}

function setTrailer(
  { reason, violations = [], ...status }: Refusal,
  { trailer }: CallContext,
): void {
  if (reason !== undefined) trailer.set('error-reason', reason);
  if (violations.length === 0) return;
  const badRequest = new BinaryWriter();
  for (const { field, rule } of violations) {
    badRequest.uint32(10).fork().uint32(10).string(field).uint32(18).string(rule).join();
  }
  const details = new BinaryWriter()
    .uint32(8)
    .int32(status.status)
    .uint32(18)
    .string(status.message);
  details
    .uint32(26)
    .fork()
    .uint32(10)
    .string('type.googleapis.com/google.rpc.BadRequest')
    .uint32(18)
    .bytes(badRequest.finish())
    .join();
  trailer.set('grpc-status-details-bin', details.finish());
}
