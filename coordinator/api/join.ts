import type { CallContext } from 'nice-grpc';
import { DomainError, type FieldViolation } from '../../shared/errors.ts';
import type { JoinRequest } from '../../shared/gen/fairlead/v1/agent_service.ts';
import type { ActionId, NodeId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Random } from '../../shared/random.ts';
import { hashSecret } from '../identity/tokens.ts';
import type { Node, Token } from '../model.ts';
import { beginAction } from '../orchestrator/actions.ts';
import type { Store, Transaction } from '../store/store.ts';
import type { Principal } from './call.ts';
import { certificateFor, type EnrolmentDeps } from './enrolment.ts';
import type { PrincipalContext } from './gate.ts';
import { throwIfInvalid, validateGivenTags, validateName } from './validate.ts';

export interface JoinDeps extends EnrolmentDeps {
  readonly random: Random;
  readonly log: Logger;
}

/** Makes a host a node; the same one if the answer to the same request before this one was lost. */
export async function join(
  deps: JoinDeps,
  request: JoinRequest,
  { principal, peer }: CallContext & PrincipalContext,
) {
  const { store, authority, log } = deps;
  const { name, tags } = request;
  const key = await authority.keyIn(request.signingRequestPem);
  const token = requireToken(principal, store);
  const joinKeyHash = hashSecret(key.toString('base64'));
  const known = [...store.nodes.values()].find(
    (node) => node.joinKeyHash === joinKeyHash && node.joinTokenId === token.id,
  );
  if (known !== undefined) return await certify(deps, known.id, key);
  requireUsesLeft(token);
  const violations: FieldViolation[] = [];
  validateName(name, 'name', violations);
  validateGivenTags(tags, 'tags', violations);
  throwIfInvalid(violations);
  requireTagsAllowed(token, tags);
  if (store.nodeNamed(name) !== undefined) {
    throw new DomainError(
      'already-exists',
      `a node is already called ${name}; choose another name, or remove that node`,
      { reason: 'NODE_NAME_TAKEN' },
    );
  }
  const id = addNode(deps, { token, name, tags, joinKeyHash, peer });
  log.info({ node: name, tags, token: token.name }, 'node joined');
  return await certify(deps, id, key);
}

interface Newcomer {
  readonly token: Token;
  readonly name: string;
  readonly tags: readonly string[];
  readonly joinKeyHash: string;
  /** Address that the host asked from. */
  readonly peer: string;
}

function addNode(
  { store, authority, random }: JoinDeps,
  { token, name, tags, joinKeyHash, peer }: Newcomer,
): NodeId {
  const id = random.id() as NodeId;
  store.transact((tx) => {
    const node: Node = {
      id,
      name,
      clusterId: token.clusterId,
      tags: [...new Set(tags)],
      availability: 'active',
      version: 1,
      joinTokenId: token.id,
      joinKeyHash,
      drain: null,
      description: null,
      advertiseAddress: '',
      publicAddress: '',
      volumes: [],
      certificate: { authority: authority.pin, untilMs: authority.issuedUntilMs },
      joinedAtMs: tx.nowMs,
    };
    tx.nodes.put(node);
    countUse(tx, token);
    const action = beginAction(tx, {
      id: random.id() as ActionId,
      method: 'Join',
      ...{ targetKind: 'node', targetId: id, targetName: name, serviceId: null },
      caller: { principal: token.name, peer },
      requestId: '',
    });
    tx.event({
      type: 'node.joined',
      objectId: id,
      objectName: name,
      actionId: action.id,
      message: `with the token ${token.name}`,
    });
  });
  return id;
}

async function certify(deps: JoinDeps, id: NodeId, key: Buffer) {
  return { nodeId: id, certificate: await certificateFor(deps, { kind: 'node', id }, key) };
}

function requireToken(principal: Principal, store: Store): Token {
  const token = principal.kind === 'token' ? store.tokens.get(principal.id) : undefined;
  if (token !== undefined) return token;
  throw new Error(`the table of who may call what lets ${principal.kind} in`);
}

/** Throws 'forbidden' if as many hosts have joined with a token as may. */
function requireUsesLeft({ name, maxUses, uses }: Token): void {
  if (maxUses === 0 || uses < maxUses) return;
  const who = maxUses === 1 ? 'the one node' : `all ${maxUses} nodes`;
  throw new DomainError(
    'forbidden',
    `the token "${name}" is used up: ${who} that it was made for joined before`,
    { reason: 'TOKEN_USED_UP' },
  );
}

/** Throws 'forbidden' if a joining host asks for tags that its token may not give. */
function requireTagsAllowed(token: Token, tags: readonly string[]): void {
  const surplus = token.tags.length === 0 ? [] : tags.filter((tag) => !token.tags.includes(tag));
  if (surplus.length === 0) return;
  throw new DomainError(
    'forbidden',
    `the token "${token.name}" may not give the tags ${surplus.join(', ')}`,
    { reason: 'TAG_NOT_ALLOWED' },
  );
}

/**
 * Counts one node that joined with a token, in the transaction that adds the node. Throws 'forbidden' if
 * others used it up meanwhile.
 */
function countUse(tx: Transaction, { id }: Token): void {
  const token = tx.tokens.get(id);
  if (token === undefined) return;
  requireUsesLeft(token);
  tx.tokens.put({ ...token, uses: token.uses + 1 });
}
