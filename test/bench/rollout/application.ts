/** How many containers run unless a scene says otherwise. */
export const usualReplicas = 8;

/**
 * An image that is nowhere. Where it would be refuses connections at once: how long it takes to find that out by
 * a name that nobody knows is nobody's merit.
 */
export const missingImage = '127.0.0.1:1/fairlead/no-such-image:1';

/** Where the application listens. */
export const applicationPort = 80;

/** How long its slow answers take. */
export const slowMs = 3_000;

/**
 * A web server as most are: it says who it is, answers `/slow` late, and ends at once when it is told to, with
 * whatever it has in flight. Not to cut that is the business of who stops it.
 */
export const applicationScript = `
const { createServer } = require('node:http');
const name = require('node:os').hostname();
const page = Buffer.alloc(1000, name + ' ');
const server = createServer((request, response) => {
  request.resume();
  response.setHeader('x-server', name);
  if (request.url === '/slow') setTimeout(() => response.end(page), ${slowMs});
  else response.end(page);
});
server.keepAliveTimeout = 65000;
server.listen(${applicationPort});
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => process.exit(0));
`;
