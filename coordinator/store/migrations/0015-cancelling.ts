/** Actions know what was wanted before them, so that they can be called off. */
export const cancelling = `
UPDATE actions SET record = json_set(record, '$.before', NULL);
`;
