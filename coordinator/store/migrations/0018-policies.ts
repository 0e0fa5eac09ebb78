const balancing = JSON.stringify({
  ...{ algorithm: 'round-robin', stickyCookie: '', compress: false, sendProxy: false },
  ...{ backups: [], unavailable: null },
});
const forwarding = JSON.stringify({ trustedUpstreams: [], proxyProtocolPorts: [] });
const policies = JSON.stringify({
  ...{ redirect: null, forceHttps: false, strictTransport: null, requestHeaders: [] },
  ...{ responseHeaders: [], basicAuth: null, allow: [], deny: [], rateLimit: null },
  ...{ responseTimeoutMs: 0, tunnelTimeoutMs: 0, maintenance: null, split: [] },
});

const withPolicies = (spec: string) =>
  `(SELECT json_group_array(json_patch('${policies}', route.value)) FROM json_each(${spec}, '$.routes') route)`;

/** What there is is balanced in turn, and its routes pass requests on as they are. */
export const policiesOfRoutes = `
UPDATE services SET record = json_set(record,
  '$.spec.balancing', json('${balancing}'), '$.spec.forwarding', json('${forwarding}'),
  '$.spec.routes', json(${withPolicies("json_extract(record, '$.spec')")}));
UPDATE service_revisions SET spec = json_set(spec,
  '$.balancing', json('${balancing}'), '$.forwarding', json('${forwarding}'),
  '$.routes', json(${withPolicies('spec')}));
`;
