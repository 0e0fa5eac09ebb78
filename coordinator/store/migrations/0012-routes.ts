/** What there is takes what no route does. */
export const routes = `
UPDATE services SET record = json_set(record, '$.spec.routes', json('[]'));
UPDATE service_revisions SET spec = json_set(spec, '$.routes', json('[]'));
`;
