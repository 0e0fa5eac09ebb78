import { describe, expect, test } from 'vitest';
import { Images } from '../../../../agent/node/images.ts';

const never = new AbortController().signal;

/** An engine whose pulls end when the test says so. */
function aRegistry() {
  const pulls: { image: string; signal: AbortSignal; end: (error?: Error) => void }[] = [];
  const engine = {
    hasImage: () => Promise.resolve(false),
    pull: (image: string, signal: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        const end = (error?: Error) => {
          if (error === undefined) resolve();
          else reject(error);
        };
        pulls.push({ image, signal, end });
      }),
  };
  return { images: new Images(engine), pulls };
}

describe('images', () => {
  test('are asked for once for all who ask at the same time, one of whom may go', async () => {
    const answers: ((isThere: boolean) => void)[] = [];
    const hasImage = () => new Promise<boolean>((resolve) => answers.push(resolve));
    const images = new Images({ hasImage, pull: () => Promise.resolve() });
    const gone = new AbortController();
    const [first, second] = [images.has('hello', gone.signal), images.has('hello', never)];
    gone.abort(new Error('is gone'));
    await expect(first).rejects.toThrow('is gone');
    expect(answers).toHaveLength(1);
    answers[0]?.(true);
    expect(await second).toBe(true);
    const later = images.has('hello', never);
    answers[1]?.(false);
    expect(await later).toBe(false);
  });

  test('are pulled once for all who wait, and again by who comes later', async () => {
    const { images, pulls } = aRegistry();
    const both = [images.pull('hello', never), images.pull('hello', never)];
    const other = images.pull('other', never);
    expect(pulls.map(({ image }) => image)).toEqual(['hello', 'other']);
    pulls[0]?.end();
    await Promise.all(both);
    const later = images.pull('hello', never);
    expect(pulls).toHaveLength(3);
    pulls[1]?.end();
    pulls[2]?.end();
    await Promise.all([other, later]);
  });

  test('fail for all who wait', async () => {
    const { images, pulls } = aRegistry();
    const both = [images.pull('hello', never), images.pull('hello', never)];
    pulls[0]?.end(new Error('no such image'));
    for (const pull of both) await expect(pull).rejects.toThrow('no such image');
  });

  test('are pulled on while anybody waits, and given up when nobody does', async () => {
    const { images, pulls } = aRegistry();
    const [first, second] = [new AbortController(), new AbortController()];
    const waits = [images.pull('hello', first.signal), images.pull('hello', second.signal)];
    first.abort(new Error('first is gone'));
    await expect(waits[0]).rejects.toThrow('first is gone');
    expect(pulls[0]?.signal.aborted).toBe(false);
    second.abort(new Error('second is gone'));
    await expect(waits[1]).rejects.toThrow('second is gone');
    expect(pulls[0]?.signal.aborted).toBe(true);
    const again = images.pull('hello', never);
    expect(pulls).toHaveLength(2);
    pulls[1]?.end();
    await again;
  });
});
