import type { ContainerId } from '../../shared/ids.ts';

/** In characters. */
export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

/** A command to run inside of a container. */
export interface ExecCommand {
  readonly command: readonly string[];
  readonly terminal: boolean;
  readonly interactive: boolean;
  /** Empty: the container's. */
  readonly user: string;
  /** Empty: the container's. */
  readonly workingDir: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly size: TerminalSize | null;
}

/** What an agent is asked. */
export interface ExecOrder {
  readonly containerId: ContainerId;
  readonly command: ExecCommand;
}

/** What a command is sent while it runs. */
export type ExecInput =
  | { readonly kind: 'stdin'; readonly data: Uint8Array }
  | { readonly kind: 'stdin-end' }
  | { readonly kind: 'resize'; readonly size: TerminalSize }
  | { readonly kind: 'signal'; readonly name: string };

/** What an agent tells of a command. */
export type ExecReport =
  | { readonly kind: 'started' }
  | { readonly kind: 'stdout' | 'stderr'; readonly data: Uint8Array }
  | { readonly kind: 'exit'; readonly code: number }
  | {
      readonly kind: 'failure';
      readonly failure: 'engine-away' | 'missing' | 'refused';
      readonly message: string;
    };
