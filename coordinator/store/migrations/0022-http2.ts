/** Nothing that there is was spoken to by HTTP/2. */
export const http2Ports = `
UPDATE services SET record = json_set(record, '$.spec.balancing.http2Ports', json('[]'));
UPDATE service_revisions SET spec = json_set(spec, '$.balancing.http2Ports', json('[]'));
`;
