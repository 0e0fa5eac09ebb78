import { isAutomaticTag } from '../../shared/ids.ts';
import { CommandFailure, exitStatus } from './exit-status.ts';

/** How a list of tags is to change. */
export interface TagEdit {
  readonly add?: readonly string[] | undefined;
  readonly remove?: readonly string[] | undefined;
  readonly set?: readonly string[] | undefined;
  readonly clear?: boolean | undefined;
}

/** Whether there is anything to change. */
export function changesTags({ add, remove, set, clear }: TagEdit): boolean {
  return [add, remove, set, clear].some((part) => part !== undefined);
}

/** The tags after a change; refuses to take away what nobody gave. */
export function editTags(now: readonly string[], edit: TagEdit): string[] {
  const { add = [], remove = [], set, clear } = edit;
  const automatic = remove.find(isAutomaticTag);
  if (automatic !== undefined) {
    throw new CommandFailure(
      exitStatus.usage,
      `the tag ${automatic} is automatic: a node has it by what it is, and nobody can take it away`,
    );
  }
  if (set !== undefined) return [...new Set(set)];
  if (clear === true) return [...new Set(add)];
  return [...new Set([...now.filter((word) => !remove.includes(word)), ...add])];
}
