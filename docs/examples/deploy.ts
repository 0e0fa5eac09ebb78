/**
 * Deploys a web service with the generated client, scales it, and prints where it answers.
 *
 *   FAIRLEAD_ADDRESS=HOST:PORT FAIRLEAD_TOKEN=… node --import tsx docs/examples/deploy.ts NAME IMAGE REPLICAS
 *
 * Run again with another number it scales the service; with another image it rolls the service over to
 * that, with no request lost; with the same arguments it changes nothing. It ends with status 1, and
 * says why, if what it asked for did not come about.
 *
 * In a project of your own, after `npm install fairlead`, import from 'fairlead' instead.
 */
import { randomUUID } from 'node:crypto';
import {
  ActionError,
  connect,
  FairleadError,
  PlacementStrategy,
  PortProtocol,
  Status,
  type Action,
  type FairleadClient,
  type Service,
} from '../../client/index.ts';

/** How long each step may take. The action goes on by itself if it takes longer. */
const timeoutMs = 10 * 60_000;

async function deploy(name: string, image: string, replicas: number): Promise<void> {
  // Address and token are the only settings that a client needs. `await using` closes the connection
  // at the end, also when something throws.
  await using fairlead = await connect({
    address: requiredVariable('FAIRLEAD_ADDRESS'),
    token: requiredVariable('FAIRLEAD_TOKEN'),
  });
  const { version } = await fairlead.control.getInfo({});
  console.log(`coordinator ${version} at ${requiredVariable('FAIRLEAD_ADDRESS')}`);

  // Every RPC of the contract is a method of `control`, with typed requests and answers.
  const existing = await findService(fairlead, name);
  if (existing === undefined) {
    await create(fairlead, name, image, replicas);
  } else if (existing.spec?.image !== image) {
    await roll(fairlead, existing, image);
  }
  await scale(fairlead, name, replicas);
  await printEndpoints(fairlead, name);
}

async function findService(fairlead: FairleadClient, name: string): Promise<Service | undefined> {
  try {
    return (await fairlead.control.getService({ service: name })).service;
  } catch (error) {
    // Failures have gRPC's code, and a reason that scripts may rely on.
    if (error instanceof FairleadError && error.code === Status.NOT_FOUND) return undefined;
    throw error;
  }
}

async function create(
  fairlead: FairleadClient,
  name: string,
  image: string,
  replicas: number,
): Promise<void> {
  console.log(`creating ${name} with ${replicas} containers of ${image}`);
  const { action } = await fairlead.control.createService({
    name,
    spec: {
      image,
      replicas,
      strategy: PlacementStrategy.HIGH_AVAILABILITY,
      // Published with a dynamic port: each container gets one of its node.
      ports: [{ containerPort: 80, protocol: PortProtocol.TCP, published: true }],
    },
    start: true,
    // With a request id of your own, sending the request again after a lost answer is harmless.
    options: { requestId: randomUUID() },
  });
  await follow(fairlead, action);
}

async function roll(fairlead: FairleadClient, service: Service, image: string): Promise<void> {
  console.log(`rolling ${service.name} over to ${image}`);
  const { action } = await fairlead.control.updateService({
    service: service.name,
    spec: { image },
    // Only what the mask names is changed.
    updateMask: ['image'],
    // Refused, with ABORTED, if somebody else changed the service since it was read.
    options: { version: service.version, requestId: randomUUID() },
  });
  await follow(fairlead, action);
}

async function scale(fairlead: FairleadClient, name: string, replicas: number): Promise<void> {
  const service = await findService(fairlead, name);
  if (service?.spec?.replicas === replicas) return;
  console.log(`scaling ${name} to ${replicas} containers`);
  const { action } = await fairlead.control.scaleService({
    service: name,
    replicas,
    options: { requestId: randomUUID() },
  });
  await follow(fairlead, action);
}

/** A mutation answers at once, with an action; this waits until all is as it was asked. */
async function follow(fairlead: FairleadClient, action: Action | undefined): Promise<void> {
  if (action === undefined) throw new Error('the coordinator answered without an action');
  await fairlead.waitForAction(action.id, {
    timeoutMs,
    onProgress: ({ container, message }) => {
      console.log(`  ${container} ${message}`);
    },
  });
}

async function printEndpoints(fairlead: FairleadClient, name: string): Promise<void> {
  const { endpoints } = await fairlead.control.listEndpoints({ services: [name] });
  console.log(`${name} answers at`);
  for (const { url, container } of endpoints) console.log(`  ${url}  ${container}`);
}

function requiredVariable(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === '') throw new Error(`set ${name}`);
  return value;
}

const [name, image, replicas] = process.argv.slice(2);
if (name === undefined || image === undefined || !/^\d+$/.test(replicas ?? '')) {
  console.error('usage: deploy.ts NAME IMAGE REPLICAS');
  process.exitCode = 2;
} else {
  try {
    await deploy(name, image, Number(replicas));
  } catch (error) {
    process.exitCode = 1;
    if (error instanceof ActionError) console.error(error.message);
    else if (error instanceof FairleadError) {
      console.error(error.message, ...error.violations);
    } else throw error;
  }
}
