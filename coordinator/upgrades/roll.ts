import type { Roll, RollMember } from '../model.ts';

/** What planning sees of a node in a roll. */
export interface MemberView {
  /** Unsure: its agent is away, and may be back in a moment. */
  readonly presence: 'connected' | 'unsure' | 'away' | 'removed';
  /** What its agent last said that it is. */
  readonly version: string;
  /** That version has not stood yet: its host may go back from it. */
  readonly isOnTrial: boolean;
  /** Why it cannot be upgraded, in words; null: it can. */
  readonly obstacle: string | null;
  /** The last upgrade that it did not take. */
  readonly failure: { readonly attempt: string; readonly reason: string } | null;
}

export interface RollContext {
  readonly viewOf: (member: RollMember) => MemberView;
  /** Names this roll to agents. */
  readonly attempt: string;
  readonly nowMs: number;
}

export interface RollPlan {
  /** All of them, as they are now. */
  readonly members: readonly RollMember[];
  /** Those of them that changed. */
  readonly changed: readonly RollMember[];
  /** Null: it goes on. */
  readonly end: { readonly state: 'succeeded' | 'failed'; readonly message: string } | null;
}

/** Downloads that are tried again, and a trial that hangs, are over by then. */
const giveUpMs = 15 * 60_000;
/** How many names a sentence has. */
const namesShown = 5;

/**
 * What comes next in a roll: what became of those that were told, whom to tell now, and whether it is over. The
 * first goes alone, until it stands; after one failed nobody else is told.
 */
export function planRoll(roll: Roll, context: RollContext): RollPlan {
  const settled = roll.members.map((member) => settle(roll, member, context));
  const hasFailed = settled.some(({ state }) => state === 'failed');
  let budget = hasFailed ? 0 : budgetOf(roll, settled);
  const members = settled.map((member) => {
    if (member.state !== 'waiting' || budget === 0) return member;
    const next = begin(roll, member, context);
    if (next.state === 'told') budget--;
    return next;
  });
  const changed = members.filter((member, index) => member !== roll.members[index]);
  return { members, changed, end: endOf(roll, members) };
}

/** What a roll would do with each node if nothing fails. */
export function previewRoll(roll: Roll, context: RollContext): RollMember[] {
  return roll.members.map((member) => {
    const settled = settle(roll, member, context);
    return settled.state === 'waiting' ? begin(roll, settled, context) : settled;
  });
}

/** What is known of a node that was told or waits. */
function settle(roll: Roll, member: RollMember, context: RollContext): RollMember {
  const { state } = member;
  if (state !== 'waiting' && state !== 'told') return member;
  const view = context.viewOf(member);
  const { presence, version, failure } = view;
  if (presence === 'removed') return { ...member, state: 'left', message: 'it was removed' };
  if (stands(view, roll)) {
    return state === 'told'
      ? { ...member, state: 'upgraded', message: `runs ${version}` }
      : { ...member, state: 'same', message: `has ${version} already` };
  }
  if (state === 'waiting') return member;
  if (failure?.attempt === context.attempt) {
    const runs = presence === 'connected' ? `; ${version} runs there` : '';
    return { ...member, state: 'failed', message: `${failure.reason}${runs}` };
  }
  if (context.nowMs - member.toldAtMs >= giveUpMs) {
    const message = `nothing was heard of it for ${giveUpMs / 60_000} minutes; look at its agent's log`;
    return { ...member, state: 'failed', message };
  }
  return member;
}

/** Whether the version of a roll is what a node runs, and not only tries. */
function stands({ presence, version, isOnTrial }: MemberView, roll: Roll): boolean {
  return presence === 'connected' && version === roll.version && !isOnTrial;
}

/** One alone until one stands with the version. */
function budgetOf({ parallelism }: Roll, members: readonly RollMember[]): number {
  const told = members.filter(({ state }) => state === 'told').length;
  const isProven = members.some(({ state }) => state === 'upgraded');
  return Math.max(0, (isProven ? parallelism : 1) - told);
}

/** Tells a node that waits, or leaves it if it cannot be told. */
function begin(roll: Roll, member: RollMember, context: RollContext): RollMember {
  const { presence, version, isOnTrial, obstacle } = context.viewOf(member);
  if (presence === 'away') {
    const message = 'its agent is not connected; upgrade it when the node is ready';
    return { ...member, state: 'left', message };
  }
  // One on trial stands or goes back in a moment.
  if (presence === 'unsure' || isOnTrial) return member;
  if (obstacle !== null) return { ...member, state: 'left', message: obstacle };
  const message = `${version} is told to become ${roll.version}`;
  return { ...member, state: 'told', toldAtMs: context.nowMs, message };
}

function endOf({ version }: Roll, members: readonly RollMember[]): RollPlan['end'] {
  const inState = (state: RollMember['state']) => members.filter((each) => each.state === state);
  const failed = inState('failed');
  const waiting = inState('waiting');
  if (inState('told').length > 0) return null;
  if (waiting.length > 0 && failed.length === 0) return null;
  const left = inState('left');
  if (failed.length === 0 && left.length === 0) return { state: 'succeeded', message: '' };
  const parts = [
    ...failed.map(({ name, message }) => `${name} did not take ${version}: ${message}`),
    ...left.map(({ name, message }) => `${name} is left: ${message}`),
  ];
  const shown = parts.slice(0, namesShown);
  if (parts.length > shown.length) shown.push(`and ${parts.length - shown.length} more`);
  if (waiting.length > 0) shown.push(`not begun: ${namesOf(waiting)}`);
  return { state: 'failed', message: shown.join('; ') };
}

function namesOf(members: readonly RollMember[]): string {
  const more = members.length - namesShown;
  const names = members.slice(0, namesShown).map(({ name }) => name);
  return names.join(', ') + (more > 0 ? ` and ${more} more` : '');
}
