import { ServiceState } from '../../../client/index.ts';
import { helloImage, proxyImage } from '../../support/fleet/lab-site.ts';
import { open } from '../browser.ts';
import { must } from '../report.ts';
import { named, type Tour } from '../tour.ts';

/** Who may see the statistics page. */
export const statsAuth = 'joe:to-the-page';

/** Step 4: the load balancer is a service like any other. */
export async function deployLb(tour: Tour): Promise<void> {
  const { report, shell, signal, narrator } = tour;
  narrator.step('4  The service lb: port 80 on 80, API role proxy, linked to web');
  await report.check(
    '4.T1',
    'runs on any node with port 80; nobody else gets that port',
    async () => {
      const run = ['service', 'run', '--name', 'lb', '--role', 'proxy', '--publish', '80:80'];
      const page = ['--env', `FAIRLEAD_PROXY_STATS_AUTH=${statsAuth}`];
      await shell.run([...run, ...page, '--link', 'web', proxyImage], signal);
      const { state, message } = await tour.service('lb');
      must(state === ServiceState.RUNNING, `lb is in state ${state}: ${message}`);
      const lb = named(await tour.containers('lb'), 'lb-1');
      must(lb.ports.some(({ hostPort }) => hostPort === 80) && lb.ready, 'port 80 is not bound');

      await shell.run(['node', 'tag', lb.node, '--add', 'edge'], signal);
      const second = ['service', 'run', '--name', 'second', '--publish', '80:80', '--tag', 'edge'];
      const refused = await shell.try([...second, helloImage], signal);
      must(refused.status !== 0, 'a second service got port 80 of the same node');
      must(refused.stderr.includes('80'), `the refusal does not name the port: ${refused.stderr}`);
      return `lb-1 on ${lb.node}:80; a second one: ${refused.stderr}`;
    },
  );
  await seeLinks(tour);
  await useApi(tour);
}

async function seeLinks(tour: Tour): Promise<void> {
  await tour.report.check('4.T2', 'lb has the link variables of web', async () => {
    const environment = await tour.environment(named(await tour.containers('lb'), 'lb-1'));
    const ports = [...environment.keys()].filter((name) => /^WEB_\d+_PORT_80_TCP$/.test(name));
    must(ports.length === 8, `${ports.length} WEB_n_PORT_80_TCP`);
    must(environment.has('WEB_FAIRLEAD_API_URL'), 'no WEB_FAIRLEAD_API_URL');
    return `WEB_1_PORT_80_TCP=${environment.get('WEB_1_PORT_80_TCP') ?? ''} and so on to WEB_8`;
  });
}

/** Run in a container: asks for the linked service with what it was told, and prints the answer. */
const askApi = `
const { FAIRLEAD_CA: ca, FAIRLEAD_AUTH: authorization, WEB_FAIRLEAD_API_URL: url } = process.env;
const headers = process.argv.includes('with-token') ? { authorization } : {};
require('node:https').get(url, { ca, headers }, (answer) => answer.pipe(process.stdout));
`;

async function useApi(tour: Tour): Promise<void> {
  const { report, shell, signal } = tour;
  await report.check('4.T3', 'FAIRLEAD_AUTH comes with the role alone, and works', async () => {
    const lb = named(await tour.containers('lb'), 'lb-1');
    const environment = await tour.environment(lb);
    must(environment.get('FAIRLEAD_AUTH')?.startsWith('Bearer ') === true, 'lb has none');
    const web = await tour.environment(named(await tour.containers('web'), 'web-1'));
    must(!web.has('FAIRLEAD_AUTH'), 'web has one without a role');
    const answer = await tour.exec(lb, ['node', '-e', askApi, '--', 'with-token']);
    const { service } = JSON.parse(answer) as { service?: { name?: string } };
    must(service?.name === 'web', `the answer was ${answer.slice(0, 200)}`);
    const bare = await tour.exec(lb, ['node', '-e', askApi]);
    must(bare.includes('unauthenticated'), `without the token the answer is ${bare}`);
    return 'a program inside lb-1 reads the service web, and trusts FAIRLEAD_CA';
  });
  await report.check('4.T4', 'hello-world with a role says that it has powers', async () => {
    const run = ['service', 'run', '--name', 'powers', '--role', 'viewer', '--publish', '80'];
    await shell.run([...run, helloImage], signal);
    const [endpoint] = await tour.endpoints('powers');
    const page = await tour.until(async () => {
      const answer = await open(endpoint?.url ?? '', signal);
      must(answer.body.includes('I have Fairlead API powers!'), answer.body);
      return answer;
    });
    const [plain] = await tour.endpoints('web');
    const without = await open(plain?.url ?? '', signal);
    must(!without.body.includes('API powers'), 'web says so without a role');
    await shell.run(['service', 'rm', 'powers'], signal);
    return `${page.hostname}: I have Fairlead API powers!`;
  });
}
