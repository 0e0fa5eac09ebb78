/**
 * Answers with its host name, its links and whether it may use the API.
 *
 * PORT            where it listens; 80 if left out
 * READY_AFTER_MS  /healthz answers 503 until then
 * ALLOW_CRASH=1   POST /crash ends the process with status 1
 */
import { createServer } from 'node:http';
import { get } from 'node:https';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

const environment = process.env;
const readyAfterMs = Number(environment.READY_AFTER_MS ?? 0);
const linkVariable = /^(.*)_PORT_([0-9]+)_(TCP|UDP)$/;

/** How long an answer of the API is believed, and how long a page waits for a new one. */
const powersBelievedMs = 5000;
const powersWaitMs = 1000;
let powers = { asked: -Infinity, answer: Promise.resolve(false) };

let stopping = false;

const server = createServer((request, response) => {
  // Whoever sends a body gets it read: an unread one would spoil the connection's next request.
  request.resume();
  // Told to stop, we take no further request on a connection that stays open.
  if (stopping) response.setHeader('Connection', 'close');
  response.once('close', () => {
    if (stopping) server.closeIdleConnections();
  });
  answer(request, response).catch(() => response.destroy());
});

// Longer than proxies keep idle connections, so that it is they who close them.
server.keepAliveTimeout = 65_000;
server.headersTimeout = 66_000;
server.listen(Number(environment.PORT ?? 80));

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.once(signal, () => {
    stopping = true;
    server.close(() => process.exit(0));
    server.closeIdleConnections();
  });
}

async function answer(request, response) {
  const url = new URL(request.url, 'http://hello');
  switch (url.pathname) {
    case '/': {
      const delayMs = Number(url.searchParams.get('delay') ?? 0);
      if (delayMs > 0) await sleep(delayMs);
      const page = await renderPage();
      // The wait may have outlasted the order to stop.
      if (stopping) response.setHeader('Connection', 'close');
      send(response, 200, 'text/html; charset=utf-8', page);
      break;
    }
    case '/healthz':
      if (performance.now() < readyAfterMs) send(response, 503, 'text/plain', 'not yet\n');
      else send(response, 200, 'text/plain', 'ok\n');
      break;
    case '/crash':
      if (environment.ALLOW_CRASH === '1' && request.method === 'POST') process.exit(1);
      send(response, 404, 'text/plain', 'not found\n');
      break;
    default:
      send(response, 404, 'text/plain', 'not found\n');
  }
}

function send(response, status, type, body) {
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

async function renderPage() {
  const links = Object.entries(environment)
    .filter(([name]) => linkVariable.test(name))
    .map(([name, value]) => `<p>\n${escapeHtml(`${name}=${value}`)}\n</p>`);
  const lines = [
    '<!DOCTYPE html>',
    '<html lang="en">',
    '<head><title>Hello world!</title></head>',
    '<body>',
    '<h1>Hello world!</h1>',
    '<h3>',
    `My hostname is ${escapeHtml(hostname())}`,
    '</h3>',
    ...(links.length > 0 ? ['<h3>Links found</h3>', ...links] : []),
    ...((await hasPowers()) ? ['<h3>', 'I have Fairlead API powers!', '</h3>'] : []),
    '</body>',
    '</html>',
  ];
  return `${lines.join('\n')}\n`;
}

/** Whether the API answers to the credential we were given; no answer in time is a no. */
async function hasPowers() {
  if (!environment.FAIRLEAD_AUTH || !environment.FAIRLEAD_SERVICE_API_URL) return false;
  if (performance.now() - powers.asked > powersBelievedMs) {
    powers = { asked: performance.now(), answer: askApi() };
  }
  return await Promise.race([powers.answer, sleep(powersWaitMs, false, { ref: false })]);
}

async function askApi() {
  try {
    return await new Promise((resolve, reject) => {
      const options = {
        ca: environment.FAIRLEAD_CA,
        headers: { Authorization: environment.FAIRLEAD_AUTH },
        signal: AbortSignal.timeout(powersBelievedMs),
      };
      get(environment.FAIRLEAD_SERVICE_API_URL, options, (reply) => {
        reply.resume();
        resolve(reply.statusCode === 200);
      }).once('error', reject);
    });
  } catch {
    return false;
  }
}

function escapeHtml(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
