/**
 * What the server asks of its connections. Clients ping every second, and sessions have leases: pings of the
 * server are for those whose host is gone without a word, and for strangers who connect and then say nothing.
 * More of them would cost more than anything else that a connected agent at rest does.
 */
export const connectionOptions = {
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 5_000,
} as const;
