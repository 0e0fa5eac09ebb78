/** Services know where their containers failed lately. */
export const failures = `
UPDATE services SET record = json_set(record, '$.failures', json('[]'));
`;
