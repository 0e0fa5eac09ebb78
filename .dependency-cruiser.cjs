/** Who may import whom. The reasons are in ARCHITECTURE.md, "Invariants". */
module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'shared-is-a-leaf',
      severity: 'error',
      from: { path: '^shared' },
      to: { path: '^(agent|client|coordinator|test)/' },
    },
    {
      name: 'agent-talks-over-grpc-only',
      severity: 'error',
      from: { path: '^agent' },
      to: { path: '^(coordinator|client)/' },
    },
    {
      name: 'coordinator-never-imports-agent',
      severity: 'error',
      from: { path: '^coordinator' },
      to: { path: '^(agent|client)/' },
    },
    {
      name: 'client-is-only-the-public-api',
      comment: 'daemons.ts is the one door: it loads a daemon only when that daemon is what runs.',
      severity: 'error',
      from: { path: '^client', pathNot: '^client/cli/daemons\\.ts$' },
      to: { path: '^(agent|coordinator)/' },
    },
    {
      name: 'decisions-are-pure',
      severity: 'error',
      from: {
        path: '^coordinator/.*/(plan|pieces|steps|slot-orphans|canary|standing|leaving|scaling|replacing|restart|rollout|progress|service-state|filters|strategies|schedule|assignments|routes|route-warnings|roll|plan-moves|rebalance|endpoints|container-environment|templates|volumes|node-ports|expiry|metrics-text|host-proxies)\\.ts$|^coordinator/(model|spec|tls-model|time-shift)\\.ts$|^agent/.*/(advance|plan-servers|server-state|config-(?:file|settings|words)|frontend-section|backend-section|successor|route-maps|route-rules|route-policies|container-options|run-options|mount-options|container-labels|program)\\.ts$',
      },
      to: { dependencyTypes: ['core', 'npm'] },
    },
    {
      name: 'only-the-store-knows-sql',
      severity: 'error',
      from: { pathNot: '^(coordinator/store|test)/' },
      to: { path: '^node_modules/(@types/)?better-sqlite3' },
    },
    {
      name: 'only-the-engine-knows-docker',
      severity: 'error',
      from: { pathNot: '^(agent/node/docker|test)/' },
      to: { path: '^node_modules/(@types/)?dockerode' },
    },
    {
      name: 'no-test-code-in-production',
      severity: 'error',
      from: { pathNot: '^test/' },
      to: { path: '^test/' },
    },
    {
      name: 'no-undeclared-packages',
      severity: 'error',
      from: {},
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    },
    {
      name: 'no-dev-dependencies-in-production',
      severity: 'error',
      from: { pathNot: '^test/|^[^/]+$' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  },
};
