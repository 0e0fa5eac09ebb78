/** Volumes and what placement asks of nodes: what there is has and asks for none. */
export const volumes = `
UPDATE services
   SET record = json_set(
         record,
         '$.spec.volumes', json('[]'),
         '$.spec.volumesFrom', json('[]'),
         '$.spec.reservation', json('{"cpuMillis":0,"memoryBytes":0}'),
         '$.spec.maxPerNode', 0,
         '$.spec.platforms', json('[]')
       );
UPDATE service_revisions
   SET spec = json_set(
         spec,
         '$.volumes', json('[]'),
         '$.volumesFrom', json('[]'),
         '$.reservation', json('{"cpuMillis":0,"memoryBytes":0}'),
         '$.maxPerNode', 0,
         '$.platforms', json('[]')
       );
UPDATE containers SET record = json_set(record, '$.definition.volumes', json('[]'))
 WHERE json_type(record, '$.definition') = 'object';
UPDATE nodes SET record = json_set(record, '$.volumes', json('[]'));
`;
