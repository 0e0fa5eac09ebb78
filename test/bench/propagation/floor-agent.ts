/**
 * The first hop of the floor: every event of a container goes to the relay at once. That a process ended
 * is taken from containerd, and from Docker if it is first.
 *
 *   floor-agent.ts RELAY TLS_FILE DOCKER_SOCKET LABEL CONTAINERD_SOCKET
 */
import { Client, credentials } from '@grpc/grpc-js';
import Docker from 'dockerode';
import { readEnvelope, type ProcessExit } from '../../../agent/node/docker/exit-events.ts';
import {
  ReadinessState,
  type ContainerStatus,
} from '../../../shared/gen/fairlead/v1/agent_service.ts';
import { ContainerPhase } from '../../../shared/gen/fairlead/v1/container.ts';
import { PortProtocol } from '../../../shared/gen/fairlead/v1/service.ts';
import { floorClient } from './floor-tls.ts';
import { nodeSession } from './floor-wire.ts';

interface RawEvent {
  readonly Action: string;
  readonly Actor: { readonly ID: string; readonly Attributes: { readonly name: string } };
}

const [relay = '', tlsPath = '', socketPath = '', label = '', containerd = ''] =
  process.argv.slice(2);
const docker = new Docker({ socketPath });
const { path, requestSerialize, responseDeserialize } = nodeSession;
const call = floorClient(relay, tlsPath).makeBidiStreamRequest(
  path,
  requestSerialize,
  responseDeserialize,
);

const events = await docker.getEvents({
  filters: { type: ['container'], event: ['die', 'start'], label: [label] },
});
const names = new Map<string, string>();
new Client(`unix:${containerd}`, credentials.createInsecure())
  .makeServerStreamRequest(
    '/containerd.services.events.v1.Events/Subscribe',
    // A SubscribeRequest with one filter.
    (filter: string) => Buffer.from([10, filter.length, ...Buffer.from(filter)]),
    readEnvelope,
    'topic=="/tasks/exit",namespace=="moby"',
  )
  .on('data', (exit: ProcessExit | null) => {
    const name = names.get(exit?.engineId ?? '');
    if (name !== undefined) send(statusOf(name, ContainerPhase.STARTING, []));
  });
console.log('following the engine');
let rest = '';
events.on('data', (chunk: Buffer) => {
  const lines = (rest + chunk.toString()).split('\n');
  rest = lines.pop() ?? '';
  for (const line of lines) if (line !== '') void handle(JSON.parse(line) as RawEvent);
});

async function handle({ Action: action, Actor: actor }: RawEvent): Promise<void> {
  const { name } = actor.Attributes;
  names.set(actor.ID, name);
  if (action === 'die') {
    send(statusOf(name, ContainerPhase.STARTING, []));
    return;
  }
  const { NetworkSettings: network } = await docker.getContainer(actor.ID).inspect();
  const [binding] = network.Ports['80/tcp'] ?? [];
  if (binding === undefined) return;
  const port = {
    containerPort: 80,
    protocol: PortProtocol.TCP,
    hostAddress: binding.HostIp,
    hostPort: Number(binding.HostPort),
    published: false,
  };
  send(statusOf(name, ContainerPhase.RUNNING, [port]));
}

function send(status: ContainerStatus): void {
  const value = { sequence: 0, containers: [status], engine: undefined };
  call.write({ message: { $case: 'report', value } });
}

function statusOf(
  name: string,
  phase: ContainerPhase,
  ports: ContainerStatus['ports'],
): ContainerStatus {
  const readiness =
    phase === ContainerPhase.RUNNING ? ReadinessState.READY : ReadinessState.NOT_READY;
  return {
    ...{ name, phase, readiness, ports, containerId: name, engineId: name, message: '' },
    ...{
      exitCode: undefined,
      restarts: 0,
      awaitsDrain: false,
      startedAt: undefined,
      endedAt: undefined,
    },
  };
}
