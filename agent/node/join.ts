import { ClientError, createClient, Status, type Channel } from 'nice-grpc';
import { ChildController } from '../../shared/abort.ts';
import type { Clock } from '../../shared/clock.ts';
import { DomainError, messageOf, type ErrorKind } from '../../shared/errors.ts';
import { AgentServiceDefinition } from '../../shared/gen/fairlead/v1/agent_service.ts';
import type { IssuedCertificate } from '../../shared/gen/fairlead/v1/certificate.ts';
import type { NodeId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Random } from '../../shared/random.ts';
import { keepRunning } from '../../shared/retry.ts';
import { authorizedClients, openChannel } from '../../shared/rpc/client.ts';
import { identityFrom, type Identity } from '../../shared/rpc/identity-keeper.ts';
import { signingRequest } from '../../shared/rpc/signing-request.ts';
import { trustOf } from '../../shared/rpc/trust.ts';
import type { NodeIdentity } from './identity.ts';

const backoff = { minMs: 100, maxMs: 5_000 };
const dialTimeoutMs = 5_000;
const answerTimeoutMs = 10_000;

export interface JoinDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export interface JoinOptions {
  readonly coordinator: string;
  readonly token: string;
  readonly privateKeyPem: string;
  readonly name: string;
  readonly tags: readonly string[];
}

/**
 * Makes this host a node. Tries again while the coordinator is out of reach; a refusal is final, because
 * only a person can change what is refused. Throws the signal's reason if it aborts before.
 */
export async function join(
  options: JoinOptions,
  { clock, random, log }: JoinDeps,
  signal: AbortSignal,
): Promise<NodeIdentity> {
  using until = new ChildController(signal);
  let outcome: NodeIdentity | DomainError | undefined;
  const attempt = async (): Promise<void> => {
    outcome = await joinOnce(options, { clock, random }, until.signal);
    until.abort();
  };
  const onFailure = (error: unknown, retryInMs: number) => {
    log.warn({ reason: messageOf(error), retryInMs }, 'cannot join yet');
  };
  const deps = { clock, random: () => random.fraction(), onFailure };
  await keepRunning(attempt, backoff, deps, until.signal);
  if (outcome instanceof DomainError) throw outcome;
  if (outcome === undefined) throw signal.reason;
  return outcome;
}

/** Resolves to the identity or to why it is refused; throws a failure that may pass. */
async function joinOnce(
  { coordinator, token, privateKeyPem, name, tags }: JoinOptions,
  { clock, random }: Pick<JoinDeps, 'clock' | 'random'>,
  signal: AbortSignal,
): Promise<NodeIdentity | DomainError> {
  using limit = new ChildController(signal);
  let channel: Channel;
  try {
    channel = await openChannel(
      { address: coordinator, trust: trustOf(token) },
      { clock, timeoutMs: dialTimeoutMs },
      limit.signal,
    );
  } catch (error) {
    // Whoever is not trusted will not be trusted later; what is away may come, and clocks are set.
    if (error instanceof DomainError && error.kind === 'unauthenticated') return error;
    throw error;
  }
  void clock.sleep(answerTimeoutMs, limit.signal).then(() => {
    limit.abort();
  });
  try {
    const client = authorizedClients(token).create(AgentServiceDefinition, channel);
    const request = { name, tags: [...tags], signingRequestPem: signingRequest(privateKeyPem) };
    const { nodeId, certificate } = await client.join(request, { signal: limit.signal });
    if (certificate === undefined) throw withoutCertificate();
    const identity = identityFrom(certificate, privateKeyPem, { clock, random });
    return { ...identity, nodeId: nodeId as NodeId };
  } catch (error) {
    const refusal = error instanceof ClientError ? refusalOf(error, coordinator) : undefined;
    if (refusal === undefined) throw error;
    return refusal;
  } finally {
    channel.close();
  }
}

export interface RenewOptions {
  readonly current: Identity;
  /** Signing request for the next key. */
  readonly request: string;
  /** This run of the agent, as its hello names it. */
  readonly bootId: string;
  readonly clock: Clock;
}

/** Asks for the node's next certificate, by the one that it has. */
export async function renew(
  coordinator: string,
  { current, request, bootId, clock }: RenewOptions,
  signal: AbortSignal,
): Promise<IssuedCertificate> {
  using limit = new ChildController(signal);
  void clock.sleep(dialTimeoutMs + answerTimeoutMs, limit.signal).then(() => {
    limit.abort();
  });
  const trust = { kind: 'bundle', pem: current.trustPem } as const;
  const channel = await openChannel(
    { address: coordinator, trust, certificate: current },
    { clock, timeoutMs: dialTimeoutMs },
    limit.signal,
  );
  try {
    const client = createClient(AgentServiceDefinition, channel);
    const options = { signal: limit.signal };
    const answer = await client.renewCertificate({ signingRequestPem: request, bootId }, options);
    if (answer.certificate === undefined) throw withoutCertificate();
    return answer.certificate;
  } finally {
    channel.close();
  }
}

function withoutCertificate(): Error {
  return new Error('the coordinator answered without a certificate');
}

/** What a person can do about a refusal. */
const refusals = new Map<Status, { readonly kind: ErrorKind; readonly advice: string }>([
  [
    Status.UNAUTHENTICATED,
    {
      kind: 'unauthenticated',
      advice: 'Get a new join token by "fairlead token create --role node"',
    },
  ],
  [
    Status.PERMISSION_DENIED,
    {
      kind: 'forbidden',
      advice: 'Get a join token that may do this by "fairlead token create --role node"',
    },
  ],
  [Status.ALREADY_EXISTS, { kind: 'already-exists', advice: 'Choose another name by --name' }],
  [Status.INVALID_ARGUMENT, { kind: 'invalid', advice: 'Correct it and start the agent again' }],
]);

function refusalOf({ code, details }: ClientError, coordinator: string): DomainError | undefined {
  const refusal = refusals.get(code);
  return (
    refusal &&
    new DomainError(
      refusal.kind,
      `the coordinator at ${coordinator} does not let this host join: ${details}. ${refusal.advice}`,
      { reason: 'JOIN_REFUSED' },
    )
  );
}
