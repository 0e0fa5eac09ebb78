const lines = 'lines of HAProxy are not taken';
const certificates =
  'give the certificate to the coordinator with certificate put, and take it out of the variables';
const tls = 'TLS 1.2 and 1.3 are spoken, with the ciphers that are recommended; see --tls-policy';
const runsAs = 'HAProxy runs as its agent does: as the user of the image, or of the unit on a host';

/** What to do instead, for settings that have no counterpart that is the same. */
const advice: Readonly<Record<string, string>> = {
  ADDITIONAL_SERVICES: 'link the load balancer to them',
  BALANCE: 'give --balance to the services behind',
  CA_CERT: 'give the authorities with --client-ca FILE and --client-certificates required',
  CERT_FOLDER: 'let the coordinator follow the folder with --certificates-folder',
  COOKIE: 'give --sticky to the services behind',
  DEBUG: 'if it was for the proxy, FAIRLEAD_PROXY_LOG_LEVEL=debug',
  DEFAULT_SSL_CERT: certificates,
  EXCLUDE_BASIC_AUTH: 'passwords are asked by route alone',
  EXCLUDE_PORTS: 'a service without routes takes requests at its first TCP port alone',
  EXTRA_DEFAULT_SETTINGS: `${lines}; routes have timeout= and tunnel=`,
  EXTRA_GLOBAL_SETTINGS: `${lines}; see the flags of the proxy agent in README.md`,
  EXTRA_ROUTE_SETTINGS: `${lines}; see --send-proxy, --http2, --backup and --readiness of the services behind`,
  GZIP_COMPRESSION_TYPE: 'give --compress to the services behind',
  HTTP_CHECK: 'give --readiness to the services behind',
  EXTRA_SETTINGS: `${lines} without VIRTUAL_HOST; see the flags of routes and balancing`,
  EXTRA_SSL_CERTS: certificates,
  FORCE_DEFAULT_BACKEND: 'what no route takes goes to the services without routes',
  HAPROXY_GROUP: runsAs,
  HAPROXY_USER: runsAs,
  HEALTH_CHECK: 'containers are checked by their readiness, and by HAProxy; see --readiness',
  MODE: 'give routes kind=tcp',
  MONITOR_PORT: 'every HTTP port answers /_lb_ping',
  MONITOR_URI: 'every HTTP port answers /_lb_ping',
  NBPROC: 'HAProxy has a thread for each processor',
  OPTION: 'options of HAProxy are not taken; requests are repeated where that is safe',
  RELOAD_TIMEOUT:
    'an old process of HAProxy ends when its last connection does, after 10 minutes at most',
  RSYSLOG_DESTINATION: 'access logs go to standard output: FAIRLEAD_PROXY_ACCESS_LOG=on',
  SERVICE_PORTS: 'give the ports with --expose, and routes to= where it is not the first',
  SKIP_FORWARDED_PROTO: 'name who is believed with --trust-upstream',
  SSL_BIND_CIPHERS: tls,
  SSL_BIND_OPTIONS: tls,
  SSL_CERT: certificates,
  TIMEOUT: 'give routes timeout= and tunnel=',
};

/** Settings whose names go on. */
const prefixes: Readonly<Record<string, string>> = {
  ADDITIONAL_BACKEND_: `${lines}; make what is behind a service of its own`,
  EXTRA_FRONTEND_SETTINGS_: `${lines}; give routes of the services behind what it is for`,
};

/** Settings of the proxy, which the variables of a service behind do not set. */
const ofProxy = ['EXTRA_BIND_SETTINGS', 'MAXCONN', 'STATS_AUTH', 'STATS_PORT'];

/** Settings of the services behind, which those of the proxy do not set. */
const ofServices = [
  ...['FAILOVER', 'FORCE_SSL', 'HSTS_MAX_AGE', 'TCP_PORTS', 'VIRTUAL_HOST', 'VIRTUAL_HOST_WEIGHT'],
];

/** What to do instead of a setting; undefined: it is none, or has nothing instead. */
export function adviceFor(name: string, isLoadBalancer: boolean): string | undefined {
  if (ofProxy.includes(name)) {
    return isLoadBalancer
      ? undefined
      : 'if it was for the proxy, give it to that, with --role proxy';
  }
  if (ofServices.includes(name)) {
    return isLoadBalancer ? 'give it to the services behind' : undefined;
  }
  const known = advice[name] ?? advice[name.replace(/_FILE$/, '')];
  if (known !== undefined) return known;
  return Object.entries(prefixes).find(([prefix]) => name.startsWith(prefix))?.[1];
}
