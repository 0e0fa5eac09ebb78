import { Writable } from 'node:stream';
import type { HandlerContext } from '../../../coordinator/http/http-method.ts';
import { DomainError } from '../../../shared/errors.ts';
import {
  ControlServiceDefinition,
  GetInfoResponse,
  GetServiceResponse,
  ScaleServiceResponse,
  UpdateServiceResponse,
  WatchServicesResponse,
  type ControlServiceImplementation,
} from '../../../shared/gen/fairlead/v1/control_service.ts';
import { createLogger, type Logger } from '../../../shared/logger.ts';
import type { CallRecordContext } from '../../../coordinator/api/call-log.ts';
import type { Gate } from '../../../coordinator/api/gate.ts';
import type { TokenId } from '../../../shared/ids.ts';

type Implementation = ControlServiceImplementation<CallRecordContext>;

/** A log that is kept in memory. */
export function collectLog(): {
  readonly log: Logger;
  readonly lines: Readonly<Record<string, unknown>>[];
} {
  const lines: Readonly<Record<string, unknown>>[] = [];
  const destination = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(JSON.parse(chunk.toString()) as Readonly<Record<string, unknown>>);
      done();
    },
  });
  return { log: createLogger({ level: 'debug', process: 'test' }, destination), lines };
}

/** A gate that lets everybody in, as an administrator. */
export const openGate: Gate = async function* (call, context) {
  const principal = {
    ...({ kind: 'token', id: 'a' as TokenId, name: 'anybody', role: 'admin' } as const),
    ...{ scope: null, clusters: null, containerId: null, certificate: null },
  };
  return yield* call.next(call.request, { ...context, principal });
};

/** A ControlService of a few methods that tests can steer; the others are not implemented. */
export class TinyControl {
  readonly implementation: Implementation;
  /** Contexts of all calls, oldest first. */
  readonly contexts: HandlerContext[] = [];
  /** Streams that are open. */
  watching = 0;
  /** Messages that streams were asked for. */
  pulled = 0;
  /** A stream that was cut says one thing more. */
  stubborn = false;
  /** Size of each message of a stream. */
  padding = 0;

  constructor() {
    const notImplemented = () => {
      throw new DomainError('unimplemented', 'not in this test', { reason: 'NOT_HERE' });
    };
    const all = Object.keys(ControlServiceDefinition.methods).map((name) => [name, notImplemented]);
    this.implementation = { ...(Object.fromEntries(all) as Implementation), ...this.#methods() };
  }

  #methods(): Partial<Implementation> {
    const note = (context: HandlerContext) => {
      this.contexts.push(context);
      context.record.principal = context.metadata.get('authorization');
    };
    return {
      getInfo: (_request, context) => {
        note(context);
        context.header.set('x-head', 'h').set('x-bytes-bin', Buffer.from([0, 255]));
        context.trailer.set('x-tail', 't');
        return Promise.resolve(
          GetInfoResponse.fromPartial({
            version: '1.2.3',
            protocolVersion: 1,
            startedAt: new Date(1_700_000_000_123),
          }),
        );
      },
      getService: ({ service }, context) => {
        note(context);
        if (service === 'bug') throw new TypeError('x is not a function');
        if (service !== 'web') {
          throw new DomainError('not-found', `there is no service "${service}"`, {
            reason: 'SERVICE_NOT_FOUND',
          });
        }
        return Promise.resolve(GetServiceResponse.fromPartial({ service: { name: 'web' } }));
      },
      createService: ({ name, spec }, context) => {
        note(context);
        throw new DomainError('invalid', `"${name}" with ${spec?.image ?? 'no image'} is refused`, {
          reason: 'INVALID_REQUEST',
          violations: [
            { field: 'name', rule: 'is required' },
            { field: 'spec.image', rule: 'must be – in other words – "good"' },
          ],
        });
      },
      updateService: ({ service, updateMask, spec }, context) => {
        note(context);
        return Promise.resolve(
          UpdateServiceResponse.fromPartial({
            service: {
              name: service,
              message: (updateMask ?? []).join(' '),
              ...(spec && { spec }),
            },
          }),
        );
      },
      scaleService: async ({ service }, context) => {
        note(context);
        const { signal } = context;
        // Takes its time: until it is given up, or a moment with a name that says so.
        await new Promise<void>((resolve, reject) => {
          if (service === 'slow') setTimeout(resolve, 300);
          signal.addEventListener('abort', () => {
            reject(signal.reason as Error);
          });
        });
        return ScaleServiceResponse.fromPartial({ service: { name: service } });
      },
      watchServices: ({ services, cursor }, context) => this.#watch(services, cursor, context),
    };
  }

  async *#watch(services: readonly string[], cursor: string, context: HandlerContext) {
    this.contexts.push(context);
    this.watching++;
    try {
      for (const service of services) {
        if (service === 'bad') {
          context.trailer.set('x-tail', 't');
          throw new DomainError('out-of-range', 'the cursor is too old', { reason: 'CURSOR_GONE' });
        }
        this.pulled++;
        yield WatchServicesResponse.fromPartial({ cursor: service, snapshot: true });
      }
      const endless = cursor === 'endless';
      for (let count = 1; endless && !context.signal.aborted; count++) {
        this.pulled++;
        yield WatchServicesResponse.fromPartial({ cursor: `${count}${'x'.repeat(this.padding)}` });
      }
      if (cursor === 'wait') {
        await new Promise<void>((resolve) => {
          context.signal.addEventListener('abort', () => {
            resolve();
          });
        });
      }
      if (this.stubborn) yield WatchServicesResponse.fromPartial({ cursor: 'more' });
    } finally {
      this.watching--;
    }
  }
}
