import { makePrivateKey, signingRequest } from '../../shared/rpc/signing-request.ts';
import { OldAgent, type OldStream } from './first-contract.ts';
import type { Installation } from './installation.ts';

const oldHello = {
  protocolVersion: 1,
  bootId: 'boot-1',
  description: { hostname: 'old', architecture: 'amd64', os: 'linux', agentVersion: '0.0.1' },
  advertiseAddress: '127.0.0.1',
  publicAddress: '127.0.0.1',
  engine: { reachable: true },
  sequence: '1',
};

/** A host that says what a test has it say, in the words of the first contract. */
export interface OldNode extends Disposable {
  readonly agent: OldAgent;
  readonly session: OldStream;
}

/** A host whose agent is of the first contract, with a session that said hello. */
export async function joinOld(installation: Installation, hello: object = {}): Promise<OldNode> {
  const { address, authorities: trustPem } = installation.coordinator;
  using newcomer = new OldAgent('AgentService', address, { trustPem });
  const privateKeyPem = makePrivateKey();
  const request = { name: 'old', tags: ['web'], signingRequestPem: signingRequest(privateKeyPem) };
  const joined = await newcomer.call('Join', request, await installation.joinToken());
  const { certificatePem } = joined['certificate'] as { readonly certificatePem: string };
  const certificate = { certificatePem, privateKeyPem };
  const agent = new OldAgent('AgentService', address, { trustPem, certificate });
  const session = agent.open('NodeSession');
  session.send({ hello: { ...oldHello, ...hello } });
  return {
    ...{ agent, session },
    [Symbol.dispose]() {
      session[Symbol.dispose]();
      agent[Symbol.dispose]();
    },
  };
}

export interface OldAssignments {
  readonly assignments?: readonly {
    readonly containerId: string;
    readonly wanted: string;
    readonly definition?: Readonly<Record<string, unknown>>;
  }[];
}

/** What a node is told of its containers, once there is something. */
export async function assignmentIn(session: OldStream, wanted: string) {
  const set = (await session.first('assignments', (value) =>
    ((value as OldAssignments).assignments ?? []).some((each) => each.wanted === wanted),
  )) as OldAssignments;
  return set.assignments!.find((each) => each.wanted === wanted)!;
}
