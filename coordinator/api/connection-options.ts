/**
 * What the server asks of its connections. Clients ping every second, and sessions have leases: pings of the
 * server are only for those whose host is gone without a word, and would cost more than anything else that a
 * connected agent at rest does.
 */
export const connectionOptions = {
  'grpc.keepalive_time_ms': 60_000,
  'grpc.keepalive_timeout_ms': 20_000,
} as const;
