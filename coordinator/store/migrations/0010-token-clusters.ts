/** Tokens may be limited to node clusters. */
export const tokenClusters = `
UPDATE tokens SET record = json_set(record, '$.clusterIds', json('[]'));
`;
