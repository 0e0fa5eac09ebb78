/** What there is starts its containers together. */
export const sequential = `
UPDATE services SET record = json_set(record, '$.spec.sequential', json('false'));
UPDATE service_revisions SET spec = json_set(spec, '$.sequential', json('false'));
`;
