/** Actions may have a roll of upgrades, which goes on after a restart. */
export const upgrades = `
UPDATE actions SET record = json_set(record, '$.roll', NULL);
`;
