import { BinaryWriter } from '@bufbuild/protobuf/wire';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readEnvelope, readNews } from '../../../../../agent/node/docker/exit-events.ts';

const engineId = 'e'.repeat(64);

interface Exit {
  readonly id?: string;
  readonly pid?: number;
  readonly exitCode?: number;
}

/** An envelope as containerd sends it. */
function anEnvelope({ id = engineId, pid = 4_242, exitCode = 137 }: Exit = {}): Uint8Array {
  const time = new BinaryWriter().uint32(8).int64(1_763_834_400).uint32(16).int32(250_000_000);
  const exit = new BinaryWriter().uint32(10).string(engineId).uint32(18).string(id);
  exit.uint32(24).uint32(pid).uint32(32).uint32(exitCode).uint32(42).bytes(time.finish());
  const any = new BinaryWriter().uint32(10).string('containerd.events.TaskExit');
  any.uint32(18).bytes(exit.finish());
  const envelope = new BinaryWriter().uint32(10).bytes(time.finish()).uint32(18).string('moby');
  return envelope.uint32(26).string('/tasks/exit').uint32(34).bytes(any.finish()).finish();
}

test("reads the end of a container's first process", () => {
  expect(readEnvelope(anEnvelope())).toEqual({
    ...{ engineId, pid: 4_242, exitCode: 137 },
    atMs: 1_763_834_400_250,
  });
});

test('tells starts from ends', () => {
  const start = new BinaryWriter().uint32(10).string(engineId).uint32(16).uint32(4_242).finish();
  const any = new BinaryWriter().uint32(10).string('containerd.events.TaskStart');
  any.uint32(18).bytes(start);
  const envelope = new BinaryWriter().uint32(18).string('moby').uint32(26).string('/tasks/start');
  envelope.uint32(34).bytes(any.finish());
  expect(readNews(envelope.finish())).toEqual({ exit: null, start: { engineId } });
  const exit = expect.objectContaining({ engineId, pid: 4_242 }) as unknown;
  expect(readNews(anEnvelope())).toEqual({ exit, start: null });
  expect(readNews(anEnvelope({ id: 'exec-1' }))).toEqual({ exit: null, start: null });
  expect(readNews(new Uint8Array())).toEqual({ exit: null, start: null });
});

test('leaves out commands that were run in a container, and other events', () => {
  expect(readEnvelope(anEnvelope({ id: 'exec-1' }))).toBeNull();
  expect(readEnvelope(new Uint8Array())).toBeNull();
});

test('reads or refuses whatever comes, and never reads on and on', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(300), (noise, at) => {
      const envelope = anEnvelope();
      envelope.set(
        noise.subarray(0, Math.max(0, envelope.length - at)),
        Math.min(at, envelope.length),
      );
      try {
        const exit = readEnvelope(envelope);
        expect(exit === null || typeof exit.pid === 'number').toBe(true);
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
      }
    }),
  );
});
