import { get } from 'node:http';
import { systemClock } from '../../../shared/clock.ts';

/** Often enough to notice at once, seldom enough to leave the processor to what is measured. */
const askEveryMs = 20;
const answerTimeoutMs = 2_000;

/** Asks a web server until it answers with status 200. */
export async function untilAnswers(host: string, port: number, signal: AbortSignal): Promise<void> {
  while (!(await answers(host, port))) {
    await systemClock.sleep(askEveryMs, signal);
    signal.throwIfAborted();
  }
}

async function answers(host: string, port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const options = { host, port, path: '/', agent: false, timeout: answerTimeoutMs };
    const request = get(options, (response) => {
      response.resume();
      response.once('close', () => {
        resolve(response.statusCode === 200);
      });
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => {
      resolve(false);
    });
  });
}
