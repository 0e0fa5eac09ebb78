/**
 * Events know whose they are, the service or the node cluster, and carry their object: beside them, so that
 * looking through events reads none.
 */
export const eventObjects = `
ALTER TABLE events ADD COLUMN owner_id TEXT NOT NULL DEFAULT '';
UPDATE events SET owner_id = CASE
  WHEN type LIKE 'service.%' OR type LIKE 'node-cluster.%' THEN object_id
  WHEN type LIKE 'container.%'
    THEN coalesce((SELECT service_id FROM containers WHERE id = object_id), '')
  WHEN type LIKE 'node.%'
    THEN coalesce((SELECT cluster_id FROM nodes WHERE id = object_id), '')
  ELSE '' END;

CREATE TABLE event_objects (
  cursor INTEGER PRIMARY KEY,
  object BLOB NOT NULL
) STRICT;
`;
