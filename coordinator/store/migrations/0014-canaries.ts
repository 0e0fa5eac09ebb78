/** Updates have no canaries unless that is asked. */
export const canaries = `
UPDATE services SET record = json_set(record,
  '$.spec.update.canary', 0, '$.spec.update.autoPromote', json('false'));
UPDATE services SET record = json_set(record, '$.rollout.canaries', 0)
 WHERE json_type(record, '$.rollout') = 'object';
UPDATE service_revisions SET spec = json_set(spec,
  '$.update.canary', 0, '$.update.autoPromote', json('false'));
`;
