/** Node clusters; nodes belong to one at most, and join tokens may name one and be used up. */
export const nodeClusters = `
CREATE TABLE clusters (
  id     TEXT PRIMARY KEY,
  name   TEXT NOT NULL UNIQUE,
  record TEXT NOT NULL
) STRICT;

ALTER TABLE nodes ADD COLUMN cluster_id TEXT REFERENCES clusters (id);
UPDATE nodes SET record = json_set(record, '$.clusterId', NULL);
UPDATE nodes SET record = json_set(record, '$.description.os', '')
 WHERE json_type(record, '$.description') = 'object';

UPDATE tokens SET record = json_set(record, '$.clusterId', NULL, '$.maxUses', 0, '$.uses', 0);
`;
