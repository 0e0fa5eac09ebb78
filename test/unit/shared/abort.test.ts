import { expect, test, vi } from 'vitest';
import { ChildController, onAbort } from '../../../shared/abort.ts';

test('calls every listener once, in their order, and none that was disposed of', () => {
  const controller = new AbortController();
  const heard: string[] = [];
  const first = onAbort(controller.signal, () => heard.push('first'));
  onAbort(controller.signal, () => heard.push('second'));
  onAbort(controller.signal, () => heard.push('third'));
  first[Symbol.dispose]();
  controller.abort();
  controller.abort();
  expect(heard).toEqual(['second', 'third']);
});

test('calls at once what comes after the abort', () => {
  const listener = vi.fn();
  onAbort(AbortSignal.abort(), listener)[Symbol.dispose]();
  expect(listener).toHaveBeenCalledTimes(1);
});

test('a listener that disposes of another while they are called keeps it from being called', () => {
  const controller = new AbortController();
  const later = vi.fn();
  onAbort(controller.signal, () => {
    subscription[Symbol.dispose]();
  });
  const subscription = onAbort(controller.signal, later);
  controller.abort();
  expect(later).not.toHaveBeenCalled();
});

test('the same listener twice is called twice', () => {
  const controller = new AbortController();
  const listener = vi.fn();
  onAbort(controller.signal, listener);
  onAbort(controller.signal, listener);
  controller.abort();
  expect(listener).toHaveBeenCalledTimes(2);
});

test('one that throws keeps no other from hearing, and is not swallowed', async () => {
  const controller = new AbortController();
  const later = vi.fn();
  const uncaught = new Promise<Error>((resolve) => {
    // Vitest's own listeners would fail the test.
    const others = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.once('uncaughtException', (error) => {
      for (const other of others) process.on('uncaughtException', other);
      resolve(error);
    });
  });
  onAbort(controller.signal, () => {
    throw new Error('broken listener');
  });
  onAbort(controller.signal, later);
  controller.abort();
  expect(later).toHaveBeenCalledTimes(1);
  expect((await uncaught).message).toBe('broken listener');
});

test('a child aborts with its parent for the same reason, and alone when disposed of', () => {
  const parent = new AbortController();
  const over = new ChildController(parent.signal);
  over[Symbol.dispose]();
  expect(over.signal.aborted).toBe(true);
  expect(parent.signal.aborted).toBe(false);
  const child = new ChildController(parent.signal);
  parent.abort('enough');
  expect(child.signal.reason).toBe('enough');
});
