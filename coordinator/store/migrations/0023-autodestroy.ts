const inSpec = (spec: string) =>
  `'${spec}.autodestroy', 'never', '${spec}.container.macAddress', ''`;

/** What there is stays until it is removed, and engines choose hardware addresses. */
export const autodestroy = `
UPDATE services SET record = json_set(record, ${inSpec('$.spec')});
UPDATE service_revisions SET spec = json_set(spec, ${inSpec('$')});
UPDATE actions SET record = json_set(record, ${inSpec('$.before.spec')})
 WHERE json_type(record, '$.before') = 'object';
UPDATE containers SET definition = json_set(definition, '$.options.macAddress', '')
 WHERE json_type(definition, '$.options') = 'object';
`;
