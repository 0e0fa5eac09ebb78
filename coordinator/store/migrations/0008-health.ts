/** Every check said as much as there was to say of it, and nothing was restarted while its process lived. */
const checkOf = (at: string) => `
  CASE json_extract(record, '${at}.check.kind')
    WHEN 'http' THEN json_patch(
      json_extract(record, '${at}.check'),
      '{"method":"GET","host":"","headers":{},"statuses":[]}'
    )
    WHEN 'tcp' THEN json('{"kind":"tcp","port":0}')
    ELSE json_extract(record, '${at}.check')
  END`;
const readiness = (at: string) => `
  '${at}.readiness.check', json(${checkOf(`${at}.readiness`)}),
  '${at}.readiness.successThreshold', 1,
  '${at}.readiness.startPeriodMs', 0,
  '${at}.restartLimit', 0,
  '${at}.liveness', NULL`;

/** Liveness, more kinds of checks, and a limit of restarts. */
export const health = `
UPDATE services SET record = json_set(record, ${readiness('$.spec')});
UPDATE service_revisions AS r
   SET spec = (
         SELECT json_extract(json_set(record, ${readiness('$.spec')}), '$.spec')
           FROM (SELECT json_object('spec', json(r.spec)) AS record)
       );
UPDATE containers
   SET record = json_set(
         record,
         ${readiness('$.definition')},
         '$.definition.drainTimeoutMs',
         coalesce(
           (SELECT json_extract(s.record, '$.spec.drainTimeoutMs')
              FROM services AS s WHERE s.id = containers.service_id),
           30000
         )
       )
 WHERE json_type(record, '$.definition') = 'object';
UPDATE observed SET record = json_set(record, '$.awaitsDrain', json('false'));
`;
