import type { ServiceId } from '../../shared/ids.ts';
import type { KeptRevision, Service, ServiceSpec } from '../model.ts';
import type { Database } from './database.ts';

interface Row {
  readonly revision: number;
  readonly spec: string;
  readonly created_at_ms: number;
  readonly principal: string;
  readonly method: string;
}

/** The definitions that services had. On disk alone: they are seldom asked for. */
export class Revisions {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** What is kept of a service, newest first. */
  of(service: ServiceId): KeptRevision[] {
    const select = this.#database.prepare(
      'SELECT * FROM service_revisions WHERE service_id = ? ORDER BY revision DESC',
    );
    return (select.all(service) as Row[]).map(fromRow);
  }

  get(service: ServiceId, revision: number): KeptRevision | undefined {
    const select = this.#database.prepare(
      'SELECT * FROM service_revisions WHERE service_id = ? AND revision = ?',
    );
    const row = select.get(service, revision) as Row | undefined;
    return row === undefined ? undefined : fromRow(row);
  }

  /**
   * Keeps the definition of a service under its current revision, and drops the oldest that are too many. One
   * that is kept already gets the definition as it is now: who made it stays.
   */
  record(
    { id, revision, base, spec }: Service,
    by: Pick<KeptRevision, 'createdAtMs' | 'principal' | 'method'>,
  ): void {
    this.#database
      .prepare(
        `INSERT INTO service_revisions (service_id, revision, spec, created_at_ms, principal, method)
         VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (service_id, revision) DO UPDATE SET spec = excluded.spec`,
      )
      .run(id, revision, JSON.stringify(spec), by.createdAtMs, by.principal, by.method);
    this.#database
      .prepare(
        `DELETE FROM service_revisions WHERE service_id = @id AND revision <> @base AND revision NOT IN
           (SELECT revision FROM service_revisions WHERE service_id = @id ORDER BY revision DESC LIMIT @kept)`,
      )
      .run({ id, base: base?.revision ?? 0, kept: spec.update.revisionsKept });
  }
}

function fromRow({ revision, spec, created_at_ms, principal, method }: Row): KeptRevision {
  const parsed = JSON.parse(spec) as ServiceSpec;
  return { revision, spec: parsed, createdAtMs: created_at_ms, principal, method };
}
