const inSpec = (spec: string) => `'${spec}.avoidTags', json('[]')`;

/** What there is avoided no node. */
export const avoidTags = `
UPDATE services SET record = json_set(record, ${inSpec('$.spec')});
UPDATE service_revisions SET spec = json_set(spec, ${inSpec('$')});
UPDATE actions SET record = json_set(record, ${inSpec('$.before.spec')})
 WHERE json_type(record, '$.before') = 'object';
`;
