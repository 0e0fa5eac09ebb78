/**
 * The first hop of the floor: every event of a container goes to the relay at once.
 *
 *   floor-agent.ts RELAY TLS_FILE DOCKER_SOCKET LABEL
 */
import Docker from 'dockerode';
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

const [relay = '', tlsPath = '', socketPath = '', label = ''] = process.argv.slice(2);
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
console.log('following the engine');
let rest = '';
events.on('data', (chunk: Buffer) => {
  const lines = (rest + chunk.toString()).split('\n');
  rest = lines.pop() ?? '';
  for (const line of lines) if (line !== '') void handle(JSON.parse(line) as RawEvent);
});

async function handle({ Action: action, Actor: actor }: RawEvent): Promise<void> {
  const { name } = actor.Attributes;
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
