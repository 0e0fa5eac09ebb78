/** Load balancers end TLS on port 443, which none has from before. */
export const tls = `
UPDATE services SET record = json_set(record, '$.spec.tls',
  json('{"ports":[],"policy":"intermediate","clientCertificates":"none","clientCaPem":""}'));
UPDATE service_revisions SET spec = json_set(spec, '$.tls',
  json('{"ports":[],"policy":"intermediate","clientCertificates":"none","clientCaPem":""}'));
`;
