import { expect, test } from 'vitest';
import { ProcessorPressure, readWaitedMs } from '../../../../agent/proxy/processor-pressure.ts';

const textOf = (waitedMs: number) =>
  `some avg10=1.50 avg60=0.80 avg300=0.30 total=${waitedMs * 1_000}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n`;

/** A kernel by which programs waited as long as a test says, and a clock that it moves by hand. */
function setUp() {
  let now = 50_000;
  let waitedMs = 1_234;
  let readings = 0;
  const read = () => {
    readings++;
    return textOf(waitedMs);
  };
  const pressure = new ProcessorPressure({ monotonic: () => now }, read);
  const pass = (ms: number, share: number) => {
    now += ms;
    waitedMs += ms * share;
    return pressure.isHigh;
  };
  return { pressure, pass, readings: () => readings };
}

test('is high while programs wait for half of the time', () => {
  const { pressure, pass } = setUp();
  expect(pressure.isHigh).toBe(false);
  expect(pass(200, 0.6)).toBe(true);
  expect(pass(200, 0.5)).toBe(true);
  expect(pass(200, 0.4)).toBe(false);
});

test('asks the kernel no more often than five times a second', () => {
  const { pressure, pass, readings } = setUp();
  expect(pressure.isHigh).toBe(false);
  for (let i = 0; i < 10; i++) pass(100, 1);
  expect(readings()).toBe(6);
});

test('does not go by what was long ago', () => {
  const { pressure, pass } = setUp();
  expect(pressure.isHigh).toBe(false);
  expect(pass(2_001, 1)).toBe(false);
  expect(pass(200, 1)).toBe(true);
  expect(pass(2_001, 1)).toBe(false);
});

test('is never high where the kernel does not tell, and asks it once', () => {
  let now = 0;
  for (const answer of [
    () => '',
    () => textOf(NaN),
    (): string => {
      throw new Error('ENOENT');
    },
  ]) {
    let readings = 0;
    const pressure = new ProcessorPressure({ monotonic: () => now }, () => {
      readings++;
      return answer();
    });
    for (let i = 0; i < 5; i++) {
      expect(pressure.isHigh).toBe(false);
      now += 300;
    }
    expect(readings).toBe(1);
  }
});

test('reads the time of all programs together out of what this kernel says', () => {
  expect(readWaitedMs(textOf(15_283_068))).toBe(15_283_068);
  expect(readWaitedMs('full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n')).toBeUndefined();
  expect(readWaitedMs('')).toBeUndefined();
});
