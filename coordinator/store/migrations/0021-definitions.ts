const identity = [
  ...['FAIRLEAD_ADDRESS', 'FAIRLEAD_SERVICE_ID', 'FAIRLEAD_SERVICE_API_URI'],
  ...['FAIRLEAD_SERVICE_API_URL', 'FAIRLEAD_SERVICE_HOSTNAME', 'FAIRLEAD_SERVICE_FQDN'],
  ...['FAIRLEAD_CONTAINER_ID', 'FAIRLEAD_CONTAINER_API_URI', 'FAIRLEAD_CONTAINER_API_URL'],
  ...['FAIRLEAD_CONTAINER_HOSTNAME', 'FAIRLEAD_CONTAINER_FQDN', 'FAIRLEAD_NODE_ID'],
  ...['FAIRLEAD_NODE_API_URI', 'FAIRLEAD_NODE_API_URL', 'FAIRLEAD_NODE_HOSTNAME'],
  'FAIRLEAD_NODE_FQDN',
]
  .map((name) => `'$.environment.${name}'`)
  .join(', ');

/**
 * Definitions of containers have a column of their own, without what follows from who the container is: so those
 * of a service are equal.
 */
export const definitions = `
ALTER TABLE containers ADD COLUMN definition TEXT;
UPDATE containers
   SET definition = json_remove(json_extract(record, '$.definition'), ${identity}),
       record = json_set(record, '$.definition', NULL)
 WHERE json_type(record, '$.definition') = 'object';
UPDATE containers
   SET definition = json_set(definition, '$.hostname', '')
 WHERE json_extract(definition, '$.hostname') = json_extract(record, '$.name');
`;
