import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { pid } from 'node:process';
import { run } from './lab/command.ts';

const never = new AbortController().signal;
let made = 0;

/** Says who it is, to a path that is a number after so many milliseconds. */
const program = `
  const { createServer } = require('node:http');
  const server = createServer((request, response) => {
    request.resume();
    setTimeout(() => response.end('vanishing'), Number(request.url.slice(1)));
  });
  server.keepAliveTimeout = 60_000;
  server.listen(8000, process.argv[1], () => console.log('listening'));
`;

/** A web server on a host of its own, at the end of a cable that can be pulled: then there is silence. */
export class VanishingHost implements AsyncDisposable {
  readonly port = 8_000;
  readonly address: string;
  readonly #namespace: string;
  readonly #link: string;
  #server: ChildProcess | undefined;

  private constructor() {
    const number = made++;
    this.#namespace = `fl-vanish-${pid}-${number}`;
    this.#link = `flv${pid}n${number}`;
    // Of those for tests of networks (RFC 2544), four for each host.
    const at = (pid * 4 + number) % 16_384;
    this.address = `198.19.${at >> 6}.${((at & 63) << 2) + 2}`;
  }

  static async start(): Promise<VanishingHost> {
    const host = new VanishingHost();
    try {
      await host.#connect();
      await host.#serve();
      return host;
    } catch (error) {
      await host[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** From now on nothing comes from the host, and nobody is told. */
  async vanish(): Promise<void> {
    await run('ip', ['-netns', this.#namespace, 'link', 'set', 'eth0', 'down'], {}, never);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const server = this.#server;
    if (server?.exitCode === null) {
      const exit = once(server, 'exit');
      server.kill('SIGKILL');
      await exit;
    }
    await run('ip', ['link', 'del', this.#link], {}, never).catch(() => undefined);
    await run('ip', ['netns', 'del', this.#namespace], {}, never).catch(() => undefined);
  }

  async #connect(): Promise<void> {
    const [namespace, link] = [this.#namespace, this.#link];
    const mac = '02:00:5e:10:00:01';
    const near = this.address.replace(/\d+$/, (last) => String(Number(last) - 1));
    const here = [
      `netns add ${namespace}`,
      `link add ${link} type veth peer name eth0 address ${mac} netns ${namespace}`,
      `addr add ${near}/30 dev ${link}`,
      `link set ${link} up`,
      // Silence, as behind a router, and not "no route to host".
      `neigh replace ${this.address} lladdr ${mac} nud permanent dev ${link}`,
    ];
    const there = [`addr add ${this.address}/30 dev eth0`, 'link set eth0 up', 'link set lo up'];
    await run('ip', ['-batch', '-'], { input: `${here.join('\n')}\n` }, never);
    const input = `${there.join('\n')}\n`;
    await run('ip', ['-netns', namespace, '-batch', '-'], { input }, never);
  }

  async #serve(): Promise<void> {
    const inside = ['netns', 'exec', this.#namespace];
    const command = [process.execPath, '-e', program, this.address];
    this.#server = spawn('ip', [...inside, ...command], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(this.#server.stdout!, 'data');
  }
}
