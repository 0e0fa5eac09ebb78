/**
 * Leads connections on a port of the loopback address to port 80 of the first host that takes them: the
 * load balancer may be on any. Usage: node relay.js PORT_FILE ADDRESS...
 */
import { renameSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';

const [portFile, ...addresses] = process.argv.slice(2);
const connectMs = 1_000;

function lead(client, [address, ...others]) {
  if (address === undefined) {
    client.destroy();
    return;
  }
  const upstream = connect({ host: address, port: 80, timeout: connectMs });
  const next = () => {
    upstream.destroy();
    lead(client, others);
  };
  upstream.once('error', next);
  upstream.once('timeout', next);
  upstream.once('connect', () => {
    upstream.off('error', next).off('timeout', next).setTimeout(0);
    client.pipe(upstream).pipe(client);
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ]) {
      one.once('error', () => other.destroy());
      one.once('close', () => other.destroy());
    }
  });
}

const server = createServer((client) => {
  client.on('error', () => client.destroy());
  lead(client, addresses);
});
server.listen(0, '127.0.0.1', () => {
  writeFileSync(`${portFile}.new`, String(server.address().port));
  renameSync(`${portFile}.new`, portFile);
});
