const withoutPause = (spec: string) =>
  `(SELECT json_group_array(json_set(route.value, '$.pauseMs', 0)) FROM json_each(${spec}, '$.routes') route)`;

/** Nothing that there is was paused. */
export const pausesOfRoutes = `
UPDATE services SET record = json_set(record,
  '$.spec.balancing.pauseMs', 0,
  '$.spec.routes', json(${withoutPause("json_extract(record, '$.spec')")}));
UPDATE service_revisions SET spec = json_set(spec,
  '$.balancing.pauseMs', 0,
  '$.routes', json(${withoutPause('spec')}));
`;
