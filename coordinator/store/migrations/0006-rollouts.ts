/**
 * Rollouts with a base to go back to, knobs of updates, and who made a revision. What ended early had the
 * revision before as what ran.
 */
export const rollouts = `
ALTER TABLE service_revisions ADD COLUMN principal TEXT NOT NULL DEFAULT '';
ALTER TABLE service_revisions ADD COLUMN method TEXT NOT NULL DEFAULT '';
UPDATE service_revisions SET spec = json_set(spec,
  '$.update.settleMs', 0, '$.update.failureBudget', 0, '$.update.onFailure', 'roll-back',
  '$.update.revisionsKept', 10);

UPDATE services SET record = json_set(record,
  '$.spec.update.settleMs', 0, '$.spec.update.failureBudget', 0, '$.spec.update.onFailure', 'roll-back',
  '$.spec.update.revisionsKept', 10, '$.alike', json('[]'));
UPDATE services SET record = json_set(record,
    '$.base', json_object('revision', json_extract(record, '$.revision') - 1, 'alike', json('[]')),
    '$.rollout', json_object('state', 'failed', 'reason', json_extract(record, '$.halt.reason'),
      'failedSlots', json('[]'), 'sinceMs', json_extract(record, '$.updatedAtMs')))
 WHERE json_extract(record, '$.halt.revision') = json_extract(record, '$.revision')
   AND json_extract(record, '$.revision') > 1;
UPDATE services SET record = json_set(record,
    '$.base', json_object('revision', json_extract(record, '$.revision'), 'alike', json('[]')),
    '$.rollout', NULL)
 WHERE json_type(record, '$.base') IS NULL;
UPDATE services SET record = json_remove(record, '$.halt');
`;
