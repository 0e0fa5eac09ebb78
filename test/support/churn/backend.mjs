/**
 * A web server in a process of its own, to be killed: `backend.mjs NAME` prints its port.
 *
 *   /      1 kB; also what a POST gets, once its body is read
 *   /big   1 MB
 *   /slow  1 kB after 3 s
 *   an upgrade: whatever comes is sent back
 */
import { createServer } from 'node:http';

const [name = ''] = process.argv.slice(2);
const small = Buffer.alloc(1_000, `${name} `);
const big = Buffer.alloc(1_000_000, `${name} `);

const server = createServer((request, response) => {
  request.resume();
  response.setHeader('x-server', name);
  if (request.url === '/big') response.end(big);
  else if (request.url === '/slow') setTimeout(() => response.end(small), 3_000);
  else request.once('end', () => response.end(small));
});
server.on('upgrade', (_request, socket) => {
  socket.on('error', () => undefined);
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\nX-Server: ${name}\r\n\r\n`,
  );
  socket.pipe(socket);
});
// Longer than proxies keep idle connections, so that it is they who close them.
server.keepAliveTimeout = 65_000;
server.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`));
