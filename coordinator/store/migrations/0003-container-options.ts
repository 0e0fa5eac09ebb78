const defaults = JSON.stringify({
  ...{ workingDir: '', user: '', hostname: '', domainname: '', stopSignal: '' },
  ...{ init: false, readOnly: false, tty: false, stdinOpen: false, privileged: false },
  ...{ groups: [], capAdd: [], capDrop: [], securityOptions: [], devices: [], ulimits: [] },
  ...{ network: 'bridge', pid: 'private' },
  ...{ dnsServers: [], dnsSearch: [], dnsOptions: [], extraHosts: [] },
  log: { driver: '', options: {} },
  limits: {
    ...{ cpuMillis: 0, cpuShares: 0, cpus: '', memoryBytes: 0, memorySwapBytes: 0, shmBytes: 0 },
  },
  cgroupParent: '',
});

/** How containers are run: what there is runs as the engine does without being told. */
export const containerOptions = `
UPDATE services SET record = json_set(record, '$.spec.container', json('${defaults}'));
UPDATE service_revisions SET spec = json_set(spec, '$.container', json('${defaults}'));
UPDATE containers
   SET record = json_set(
         record,
         '$.definition.hostname', json_extract(record, '$.name'),
         '$.definition.options', json('${defaults}')
       )
 WHERE json_type(record, '$.definition') = 'object';
`;
