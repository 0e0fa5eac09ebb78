import { countBy } from '../../../shared/collections.ts';
import { ContainerPhase, ServiceState, type Container } from '../../../client/index.ts';
import { helloImage } from '../../support/fleet/lab-site.ts';
import { must } from '../report.ts';
import { named, type Tour } from '../tour.ts';

const ownVariables = ['SERVICE', 'CONTAINER', 'NODE'].flatMap((noun) =>
  ['API_URI', 'API_URL', 'FQDN', 'HOSTNAME'].map((end) => `FAIRLEAD_${noun}_${end}`),
);

/** Step 2: the service `web` with eight containers over the four nodes. */
export async function deployWeb(tour: Tour): Promise<void> {
  const { report, narrator } = tour;
  narrator.step('2  The service web: 8 containers, high availability, tag web, port 80 dynamic');
  await refuseUnknownTag(tour);
  const watching = new AbortController();
  const history = recordHistory(tour, watching.signal);
  const startedAs = await runWeb(tour);
  await report.check('2.T1', 'inspect shows starting at once, then running with 8', async () => {
    must(startedAs === ServiceState.STARTING, `the first state was ${startedAs}`);
    const service = await tour.service('web');
    must(
      service.state === ServiceState.RUNNING,
      `the state is ${service.state}: ${service.message}`,
    );
    must(service.runningContainers === 8, `${service.runningContainers} run`);
    return 'starting, then running=8';
  });
  const containers = await tour.containers('web');
  watching.abort();
  const seen = await history;
  await report.check('2.T2', 'named web-1 to web-8, and called so inside', async () => {
    const names = containers.map(({ name }) => name);
    const wanted = [1, 2, 3, 4, 5, 6, 7, 8].map((number) => `web-${number}`);
    must(names.join() === wanted.join(), `the names are ${names.join(', ')}`);
    const inside = await Promise.all(containers.map((each) => tour.exec(each, ['hostname'])));
    for (const [index, { name }] of containers.entries()) {
      const hostname = inside[index]?.trim() ?? '';
      must(hostname === name, `${name} is called ${hostname} inside`);
    }
    return names.join(', ');
  });
  await report.check('2.T3', 'exactly two on each web node, none elsewhere', () =>
    spread(containers),
  );
  await report.check('1.T3', 'the untagged node is never used for web', () => {
    const nodes = new Set([...seen.values()].flat().map(({ node }) => node));
    must(!nodes.has('host-5'), 'host-5 had a container of web');
    return `nodes used: ${[...nodes].filter((node) => node !== '').join(', ')}`;
  });
  await report.check('2.T4', 'each has a port of its own, shown only while it runs', () => {
    const early = [...seen.values()].flat().filter((c) => c.ports.length > 0 && !hasRun(c));
    must(early.length === 0, `${early.length} showed a port before they ran`);
    const ports = containers.map(({ node, ports: [port] }) => `${node}:${port?.hostPort ?? '-'}`);
    must(new Set(ports).size === 8 && !ports.some((port) => port.endsWith('-')), ports.join(', '));
    return ports.join(', ');
  });
  await report.check('2.T5', 'state changes of single containers are seen live', () => {
    const live = [...seen.values()].filter((states) => new Set(states.map(word)).size > 1);
    must(live.length === 8, `only ${live.length} of 8 were seen to change`);
    return [...seen.values()][0]?.map(word).join(' → ') ?? '';
  });
  await report.check('2.T7', 'the environment says who the container is', async () => {
    const environment = await tour.environment(named(containers, 'web-3'));
    const missing = ownVariables.filter((name) => (environment.get(name) ?? '') === '');
    must(missing.length === 0, `missing: ${missing.join(', ')}`);
    return `FAIRLEAD_CONTAINER_HOSTNAME=${environment.get('FAIRLEAD_CONTAINER_HOSTNAME') ?? ''} and ${ownVariables.length - 1} more`;
  });
}

async function refuseUnknownTag({ report, shell, client, signal }: Tour): Promise<void> {
  await report.check('2.T6', 'no matching node: a clear error, nothing deployed', async () => {
    const command = ['service', 'run', '--name', 'nowhere', '--tag', 'gpu', helloImage];
    const { status, stderr } = await shell.try(command, signal);
    must(status !== 0, 'it was accepted');
    must(stderr.includes('gpu'), `the error does not name the tag: ${stderr}`);
    const { services } = await client.control.listServices({});
    must(
      services.every(({ name }) => name !== 'nowhere'),
      'the service exists',
    );
    return stderr;
  });
}

/** Runs the service; the state that it was in right after. */
async function runWeb(tour: Tour): Promise<ServiceState> {
  const action = await tour.shell.run<{ id: string }>(
    [
      ...['service', 'run', '--name', 'web', '--replicas', '8', '--no-wait'],
      ...['--strategy', 'high-availability', '--tag', 'web', '--publish', '80'],
      ...['--env', 'ALLOW_CRASH=1', helloImage],
    ],
    tour.signal,
  );
  const { state } = await tour.service('web');
  await tour.client.waitForAction(action.id, { timeoutMs: 120_000 }, tour.signal);
  return state;
}

/** Every state of every container that a watch tells, in order. */
async function recordHistory(
  { client }: Tour,
  signal: AbortSignal,
): Promise<Map<string, Container[]>> {
  const history = new Map<string, Container[]>();
  for await (const { changed } of client.watchContainers({}, signal)) {
    for (const container of changed) {
      const states = history.get(container.name) ?? [];
      const before = states.at(-1);
      if (before === undefined || word(before) !== word(container)) states.push(container);
      history.set(container.name, states);
    }
  }
  return history;
}

function hasRun({ phase }: Container): boolean {
  return phase >= ContainerPhase.RUNNING;
}

function word({ phase, ready }: Container): string {
  const names = Object.entries(ContainerPhase);
  const name = names.find(([, number]) => number === phase)?.[0] ?? '';
  return ready ? 'ready' : name.toLowerCase();
}

/** Throws unless the containers are two on each of the four tagged nodes. */
function spread(containers: readonly Container[]): string {
  const counts = countBy(containers, ({ node }) => node);
  const text = [...counts].map(([node, count]) => `${node}: ${count}`).sort();
  must(text.join() === 'host-1: 2,host-2: 2,host-3: 2,host-4: 2', text.join(', '));
  return text.join(', ');
}
