/** What is known of the certificates that agents show: for a replaced authority, who still depends on it. */
export const shownCertificates = `
UPDATE nodes SET record = json_set(record, '$.certificate', NULL);
`;
