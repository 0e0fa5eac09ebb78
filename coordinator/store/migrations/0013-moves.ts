/** Containers that are told to leave their node, and actions that say what becomes of them. */
export const moves = `
UPDATE containers SET record = json_set(record, '$.eviction', NULL);
UPDATE actions SET record = json_set(record, '$.moves', NULL);
UPDATE nodes SET record = json_set(record, '$.drain', NULL);
UPDATE nodes SET record = json_set(record, '$.drain', json_object('parallelism', 0, 'deadlineAtMs', NULL,
    'force', json('false'), 'sinceMs', json_extract(record, '$.joinedAtMs')))
 WHERE json_extract(record, '$.availability') = 'draining';
`;
