/** What can be changed, by Fairlead's agent or by bare commands. */
export interface Side {
  readonly name: 'fairlead' | 'floor';
  /** Where its HAProxy listens. */
  readonly port: number;
  /** Adds servers, each as a change of its own, and resolves when all are in effect. */
  add(servers: readonly NewServer[]): Promise<void>;
  /** Takes servers away, each as a change of its own, and resolves when all are in effect. */
  remove(servers: readonly NewServer[]): Promise<void>;
}

/** A server of the backend `web`. */
export interface NewServer {
  readonly id: string;
  readonly address: string;
  readonly port: number;
}
