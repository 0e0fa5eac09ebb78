import { Option, type Command } from 'commander';
import { readCount, readDuration } from './values.ts';

/** The flags that mutations take. */
export interface MutationFlags {
  readonly wait?: boolean;
  readonly timeout?: number;
  readonly progress?: boolean;
  readonly dryRun?: boolean;
  readonly requestId?: string;
  readonly ifVersion?: number;
}

/** How long a command waits where the user does not say: longer than any sane rollout. */
export const defaultTimeoutMs = 30 * 60_000;

/** Adds the flags of a mutation; `lock` for objects that have a version. */
export function addMutationFlags(
  command: Command,
  { waits, lock }: { readonly waits: boolean; readonly lock: boolean },
): Command {
  command.optionsGroup('Change options:');
  if (waits) {
    command
      .addOption(new Option('--no-wait', 'do not wait; print the action'))
      .addOption(
        new Option('--timeout <duration>', 'wait at most so long; 0: for ever')
          .argParser(readDuration)
          .default(defaultTimeoutMs, '30m'),
      )
      .addOption(new Option('--progress', 'show progress also where stderr is no terminal'))
      .addOption(new Option('--no-progress', 'show none'));
  }
  command
    .addOption(new Option('--dry-run', 'change nothing; print what would be done'))
    .addOption(
      new Option('--request-id <id>', 'name for this change; sent again, it changes nothing more'),
    );
  if (lock) {
    command.addOption(
      new Option('--if-version <n>', 'only if this is still its version').argParser(readCount),
    );
  }
  return command.optionsGroup('Options:');
}
