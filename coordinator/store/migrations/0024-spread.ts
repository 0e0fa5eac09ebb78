const inSpec = (spec: string) => `'${spec}.spreadOver', json('[]')`;

/** What there is was spread by its strategy alone. */
export const spread = `
UPDATE services SET record = json_set(record, ${inSpec('$.spec')});
UPDATE service_revisions SET spec = json_set(spec, ${inSpec('$')});
UPDATE actions SET record = json_set(record, ${inSpec('$.before.spec')})
 WHERE json_type(record, '$.before') = 'object';
`;
