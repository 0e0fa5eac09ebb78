import { expect, test } from 'vitest';
import {
  agentDefinition,
  letGo,
  proxyDefinition,
} from '../../../../coordinator/api/session-codec.ts';
import {
  NodeSessionResponse,
  type NodeSessionRequest,
} from '../../../../shared/gen/fairlead/v1/agent_service.ts';
import { ProxySessionResponse } from '../../../../shared/gen/fairlead/v1/proxy_service.ts';

const clock = new Date(0);
const welcome = { sessionId: 'a', leaseMs: 3_000, heartbeatMs: 0 };

test('what a session says to an agent is the same on the wire, and is held no longer', () => {
  const trust = { pem: 'pem', renewWithinMs: 10_000 };
  const message: NodeSessionResponse = {
    message: { $case: 'welcome', value: { ...welcome, trust, clock } },
  };
  const expected = NodeSessionResponse.encode(NodeSessionResponse.fromPartial(message)).finish();
  const { encode } = agentDefinition.methods.nodeSession.responseType;
  expect(new Uint8Array(encode(message).finish())).toEqual(expected);
  expect(message.message).toBeUndefined();
});

test('what a session says to a proxy is the same on the wire, and is held no longer', () => {
  const message: ProxySessionResponse = {
    message: { $case: 'welcome', value: { ...welcome, trust: undefined } },
  };
  const expected = ProxySessionResponse.encode(ProxySessionResponse.fromPartial(message)).finish();
  const { encode } = proxyDefinition.methods.proxySession.responseType;
  expect(new Uint8Array(encode(message).finish())).toEqual(expected);
  expect(message.message).toBeUndefined();
});

test('what was taken in is held no longer', () => {
  const request: NodeSessionRequest = { message: { $case: 'heartbeat', value: {} } };
  letGo(request);
  expect(request.message).toBeUndefined();
});

test('a message that cannot be written leaves nothing in the next', () => {
  const { encode } = agentDefinition.methods.nodeSession.responseType;
  const trust = { pem: 'pem', renewWithinMs: -1 };
  expect(() =>
    encode({ message: { $case: 'welcome', value: { ...welcome, trust, clock } } }),
  ).toThrow();
  const next = () =>
    ({ message: { $case: 'welcome', value: { ...welcome, trust: undefined, clock } } }) as const;
  expect(new Uint8Array(encode(next()).finish())).toEqual(
    NodeSessionResponse.encode(next()).finish(),
  );
});
