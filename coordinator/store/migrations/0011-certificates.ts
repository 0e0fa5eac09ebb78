/** Certificates that load balancers show; their private keys are encrypted by a key that is elsewhere. */
export const certificates = `
CREATE TABLE certificates (
  id     TEXT PRIMARY KEY,
  name   TEXT NOT NULL UNIQUE,
  record TEXT NOT NULL
) STRICT;
`;
