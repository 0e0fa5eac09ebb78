import { describe, expect, test } from 'vitest';
import { assignmentSetOf, helloOf, reportToProto } from '../../../../agent/node/convert.ts';
import {
  AssignmentSet,
  NodeHello,
  NodeReport,
  ReadinessState,
  WantedPhase,
} from '../../../../shared/gen/fairlead/v1/agent_service.ts';
import { NetworkMode } from '../../../../shared/gen/fairlead/v1/container_options.ts';
import { ContainerPhase } from '../../../../shared/gen/fairlead/v1/container.ts';
import { PortProtocol, RestartPolicy } from '../../../../shared/gen/fairlead/v1/service.ts';
import { someOptions } from '../../../support/container-options.ts';
import { aBinding, aStatus, containerId, startedAt } from './builders.ts';

const definition = {
  name: 'web-3',
  service: 'web',
  serviceId: '5'.repeat(32),
  slot: 3,
  revision: 2,
  image: 'hello',
  command: ['-v'],
  entrypoint: ['/app'],
  environment: { A: 'b' },
  labels: { team: 'blue' },
  hostname: 'web-3',
  ports: [
    { containerPort: 80, protocol: PortProtocol.UNSPECIFIED, published: true, hostPort: 8080 },
    { containerPort: 53, protocol: PortProtocol.UDP, published: false, hostPort: 0 },
  ],
  hosts: [{ name: 'db', address: '192.0.2.9' }],
  restart: RestartPolicy.ON_FAILURE,
  readiness: {
    check: { $case: 'http' as const, value: { path: '/healthz', port: 80 } },
    intervalMs: 500,
    timeoutMs: 100,
    failureThreshold: 1,
  },
  stopGraceMs: 7_000,
  restartLimit: 2,
  drainTimeoutMs: 9_000,
  options: { network: NetworkMode.HOST, capAdd: ['NET_ADMIN'] },
  volumes: [
    { containerPath: '/a', readOnly: true },
    { containerPath: '/b', source: { $case: 'named' as const, value: { name: 'data' } } },
  ],
};

describe('assignments', () => {
  const decode = (set: Parameters<typeof AssignmentSet.fromPartial>[0]) =>
    assignmentSetOf(
      AssignmentSet.decode(AssignmentSet.encode(AssignmentSet.fromPartial(set)).finish()),
    );

  test("arrive in the agent's words", () => {
    const set = decode({
      complete: true,
      sequence: 4,
      assignments: [{ containerId, wanted: WantedPhase.RUNNING, definition }],
      forgotten: ['f'.repeat(32)],
    });
    expect(set).toEqual({
      complete: true,
      forgotten: ['f'.repeat(32)],
      assignments: [
        {
          containerId,
          wanted: 'running',
          drained: false,
          definition: {
            ...definition,
            ports: [
              { containerPort: 80, protocol: 'tcp', published: true, hostPort: 8080 },
              { containerPort: 53, protocol: 'udp', published: false, hostPort: 0 },
            ],
            restart: 'on-failure',
            options: someOptions({ network: 'host', capAdd: ['NET_ADMIN'] }),
            volumes: [
              { containerPath: '/a', readOnly: true, source: { kind: 'anonymous' } },
              {
                containerPath: '/b',
                readOnly: false,
                source: { kind: 'named', name: 'data', external: false },
              },
            ],
            readiness: {
              check: {
                ...{ kind: 'http', path: '/healthz', port: 80, method: '', host: '' },
                ...{ headers: {}, statuses: [] },
              },
              intervalMs: 500,
              timeoutMs: 100,
              failureThreshold: 1,
              successThreshold: 1,
              startPeriodMs: 0,
            },
            liveness: undefined,
            restartLimit: 2,
            drainTimeoutMs: 9_000,
          },
        },
      ],
    });
  });

  test.each([
    [WantedPhase.STOPPED, 'stopped'],
    [WantedPhase.REMOVED, 'removed'],
  ] as const)('may come without a definition: %i', (wanted, phase) => {
    expect(decode({ assignments: [{ containerId, wanted }] }).assignments).toEqual([
      { containerId, wanted: phase, definition: undefined, drained: false },
    ]);
  });

  test('of a kind that this agent does not know are left out', () => {
    const unknown = 99 as WantedPhase;
    expect(decode({ assignments: [{ containerId, wanted: unknown }] }).assignments).toEqual([]);
    expect(decode({ assignments: [{ wanted: WantedPhase.STOPPED }] }).assignments).toEqual([]);
  });

  test('take the defaults of the protocol where they leave something out', () => {
    const [bare, none] = [
      { name: 'web-1' },
      { readiness: { check: { $case: 'none', value: {} } } },
    ];
    const { assignments } = decode({
      assignments: [bare, none].map((left) => ({
        containerId,
        wanted: WantedPhase.RUNNING,
        definition: left as typeof bare,
      })),
    });
    expect(assignments[0]?.definition).toMatchObject({
      restart: 'always',
      readiness: {
        check: { kind: 'tcp', port: 0 },
        intervalMs: 1_000,
        timeoutMs: 2_000,
        failureThreshold: 3,
      },
    });
    expect(assignments[1]?.definition?.readiness.check).toEqual({ kind: 'none' });
  });
});

describe('what the agent says', () => {
  test('survives the wire', () => {
    const engine = { reachable: true, message: '' };
    const status = aStatus({
      exitCode: 0,
      endedAt: startedAt,
      ports: [aBinding({ protocol: 'udp' })],
    });
    const report = reportToProto({ sequence: 7, engine, containers: [status] });
    expect(NodeReport.decode(NodeReport.encode(report).finish())).toEqual({
      sequence: 7,
      engine,
      containers: [
        {
          ...status,
          phase: ContainerPhase.RUNNING,
          readiness: ReadinessState.READY,
          ports: [{ ...aBinding(), protocol: PortProtocol.UDP }],
        },
      ],
    });
  });

  test('first is who it is and all it knows', () => {
    const greeting = {
      bootId: 'b',
      description: {
        hostname: 'host-1',
        operatingSystem: 'Debian',
        os: 'linux',
        architecture: 'amd64',
        engineVersion: '20.10.24',
        engineApiVersion: '1.41',
        cpus: 2,
        memoryBytes: 8 * 2 ** 30,
        agentVersion: '0.1.0',
      },
      advertiseAddress: '192.0.2.7',
      publicAddress: 'host-1.example',
      clock: new Date(1_700_000_000_000),
    };
    const engine = { reachable: false, message: 'away' };
    const failure = { attempt: 'a1', version: '0.2.0', reason: 'it hangs' };
    const upgrades = { package: 'fairlead-agent.cjs', obstacle: '', failure, isOnTrial: true };
    const hello = helloOf(
      { ...greeting, upgrades },
      {
        sequence: 9,
        engine,
        containers: [aStatus({ readiness: 'unknown' })],
      },
    );
    expect(NodeHello.decode(NodeHello.encode(hello).finish())).toMatchObject({
      ...greeting,
      protocolVersion: 1,
      verbs: ['ping', 'parts', 'logs', 'exec', 'upgrade'],
      package: 'fairlead-agent.cjs',
      upgradeObstacle: '',
      upgradeFailure: failure,
      onTrial: true,
      engine,
      sequence: 9,
      inventory: [{ containerId, readiness: ReadinessState.UNSPECIFIED }],
    });
  });
});
