/** Records are JSON documents of the types in model.ts; columns exist for what must be unique or found. */
export const initial = `
CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;

CREATE TABLE services (
  id     TEXT PRIMARY KEY,
  name   TEXT NOT NULL UNIQUE,
  record TEXT NOT NULL
) STRICT;

CREATE TABLE service_revisions (
  service_id    TEXT NOT NULL REFERENCES services (id) ON DELETE CASCADE,
  revision      INTEGER NOT NULL,
  spec          TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  PRIMARY KEY (service_id, revision)
) STRICT;

CREATE TABLE nodes (
  id     TEXT PRIMARY KEY,
  name   TEXT NOT NULL UNIQUE,
  record TEXT NOT NULL
) STRICT;

CREATE TABLE containers (
  id         TEXT PRIMARY KEY,
  service_id TEXT NOT NULL REFERENCES services (id),
  node_id    TEXT REFERENCES nodes (id),
  record     TEXT NOT NULL
) STRICT;
CREATE INDEX containers_by_service ON containers (service_id);
CREATE INDEX containers_by_node ON containers (node_id);

CREATE TABLE tokens (
  id     TEXT PRIMARY KEY,
  name   TEXT NOT NULL UNIQUE,
  record TEXT NOT NULL
) STRICT;

CREATE TABLE actions (
  id            TEXT PRIMARY KEY,
  request_id    TEXT NOT NULL,
  started_at_ms INTEGER NOT NULL,
  record        TEXT NOT NULL
) STRICT;
CREATE INDEX actions_by_start ON actions (started_at_ms);

CREATE TABLE events (
  cursor      INTEGER PRIMARY KEY AUTOINCREMENT,
  time_ms     INTEGER NOT NULL,
  type        TEXT NOT NULL,
  object_id   TEXT NOT NULL,
  object_name TEXT NOT NULL,
  action_id   TEXT NOT NULL,
  message     TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_object ON events (object_id, cursor);

-- A copy of what agents reported, written behind, so that a restarted coordinator starts from the last
-- known picture. No foreign key: a report may outlive its container by a moment.
CREATE TABLE observed (
  container_id TEXT PRIMARY KEY,
  record       TEXT NOT NULL
) STRICT;
`;
