import { ChildController } from '../../shared/abort.ts';
import type { Clock } from '../../shared/clock.ts';
import { messageOf } from '../../shared/errors.ts';
import type { Logger } from '../../shared/logger.ts';
import type { Random } from '../../shared/random.ts';
import { CertificateFiles } from './certificates/certificate-files.ts';
import { CertificateKeeper } from './certificates/certificate-keeper.ts';
import { ConfigStore, portsOf } from './config-store.ts';
import type { ProxyAgentConfig } from './config.ts';
import { Enrolment } from './enrolment.ts';
import { HaproxyDriver } from './driver.ts';
import { HaproxyProcess, type HaproxyProcessOptions } from './haproxy-process.ts';
import { ListFile } from './list-file.ts';
import { LiveHaproxy } from './live-haproxy.ts';
import { Outbox } from './outbox.ts';
import { PauseKeeper } from './pause-keeper.ts';
import { goneScript } from './pause-rules.ts';
import { routesScript } from './route-counts.ts';
import { stickyScript } from './slots.ts';
import { successorScript } from './successor.ts';
import { hasIpv6 } from './ports.ts';
import type { ProcessorPressure } from './processor-pressure.ts';
import { ProxySession } from './session.ts';
import { TrustFile } from './trust-file.ts';
import {
  lockDirectory,
  readIfThere,
  statePaths,
  unreadable,
  writeAtomically,
  type StatePaths,
} from './state-directory.ts';

const commandTimeoutMs = 2_000;
const startTimeoutMs = 10_000;
const reportEveryMs = 1_000;
/**
 * Reading all servers takes at most this part of HAProxy's time, and writing files this part of ours: a
 * change that meets one of them waits for it, 12 ms with a thousand servers.
 */
const backgroundShare = 1 / 100;
const saveAfterMs = 20;
/** From one saving, or an attempt at it, to the next: what changes all the time is not written all the time. */
const saveEveryMs = 1_000;

export interface ProxyAgentDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** What a version of HAProxy can do. */
  readonly capabilitiesOf: HaproxyProcessOptions['capabilitiesOf'];
  /** Whether programs of the host wait for processors. */
  readonly pressure: Pick<ProcessorPressure, 'isHigh'>;
}

/** Everything of one proxy agent; started and stopped as one. */
export async function runProxyAgent(
  config: ProxyAgentConfig,
  deps: ProxyAgentDeps,
  signal: AbortSignal,
): Promise<void> {
  const paths = statePaths(config.stateDir);
  await using _lock = await lockDirectory(paths.directory);
  await using pauses = await PauseKeeper.open(paths.pausePort, {
    clock: deps.clock,
    log: deps.log.child({ component: 'pauses' }),
  });
  const parts = await build(config, deps, { paths, pauses });
  const { driver, enrolment, session } = parts;
  pauses.onClockSet = () => {
    driver.noteClockSet();
  };
  using life = new ChildController(signal);
  const running = [
    driver.run(life.signal),
    driver.drainer.run(life.signal),
    parts.certificates.run(life.signal),
    reportRegularly(parts, deps, life.signal),
    saveRegularly(parts, deps, life.signal),
    enrolment.run(life.signal),
    session.run(life.signal),
  ];
  try {
    // None of them returns before it is stopped; if one breaks, the others are stopped too.
    await Promise.race(running);
  } finally {
    life.abort();
    await Promise.allSettled(running);
  }
  if (config.onStop === 'stop') await stopHaproxy(parts, config.stopGraceMs, deps);
}

interface Parts {
  readonly haproxy: HaproxyProcess;
  readonly configStore: ConfigStore;
  readonly listFile: ListFile;
  readonly outbox: Outbox;
  readonly driver: HaproxyDriver;
  readonly certificates: CertificateKeeper;
  readonly enrolment: Enrolment;
  readonly session: ProxySession;
}

async function build(
  config: ProxyAgentConfig,
  { clock, random, log, capabilitiesOf, pressure }: ProxyAgentDeps,
  { paths, pauses }: { readonly paths: StatePaths; readonly pauses: PauseKeeper },
): Promise<Parts> {
  const proxyId = config.proxyId ?? (await keptProxyId(paths.proxyId, random));
  const haproxy = haproxyOf(config, { clock, log, capabilitiesOf }, paths);
  const outbox = new Outbox(clock);
  const { lua, exporter, clientTimeouts } = await haproxy.features();
  const metricsPort = usableMetricsPort(config, { exporter }, outbox);
  const settings = {
    ...{ ...config, ipv6: await hasIpv6(), pausePort: pauses.port, metricsPort, clientTimeouts },
    ...(lua ? await writtenScripts(paths, metricsPort) : {}),
  };
  const configStore = new ConfigStore(paths, settings, haproxy);
  const listFile = new ListFile(paths.list, log);
  const certificates = await openCertificates(paths, { configStore, haproxy, outbox, clock, log });
  const driver = new HaproxyDriver({
    clock,
    random: () => random.fraction(),
    log: log.child({ component: 'driver' }),
    ...{ haproxy, configStore, listFile, outbox, pressure },
    onWorker: () => {
      certificates.look();
    },
    onPauses: (paused) => {
      pauses.set(paused);
    },
  });
  const identity = { clock, random, log: log.child({ component: 'identity' }) };
  const trustFile = new TrustFile(paths.trust, log);
  const enrolment = new Enrolment({ ...identity, trustFile }, config);
  const session = new ProxySession(
    {
      clock,
      random,
      log: log.child({ component: 'session' }),
      ...{ outbox, enrolment, pressure },
      greeting: () => ({
        proxyId,
        name: config.name,
        service: config.service,
        status: outbox.status,
        applied: outbox.applied,
      }),
      onSnapshot: (snapshot, isWhole) => {
        driver.replaceList(snapshot, isWhole);
      },
      onDelta: (delta) => driver.changeList(delta),
      onCertificates: (all) => {
        certificates.take(all);
      },
    },
    config,
  );
  return { haproxy, configStore, listFile, outbox, driver, certificates, enrolment, session };
}

/** A HAProxy without the exporter would refuse the whole file that asks for it. */
function usableMetricsPort(
  { metricsPort }: ProxyAgentConfig,
  { exporter }: { readonly exporter: boolean },
  outbox: Outbox,
): number {
  if (metricsPort === 0 || exporter) return metricsPort;
  const words = 'this HAProxy is built without its exporter for Prometheus (USE_PROMEX)';
  outbox.setProblem('metrics', `no metrics at port ${metricsPort}: ${words}`);
  return 0;
}

/** Where the scripts are that HAProxy loads. */
async function writtenScripts(paths: StatePaths, metricsPort: number) {
  const counts = metricsPort !== 0;
  return {
    goneScript: await writtenScript(paths.goneScript, goneScript),
    successorScript: await writtenScript(paths.successorScript, successorScript),
    stickyScript: await writtenScript(paths.stickyScript, stickyScript),
    routesScript: counts ? await writtenScript(paths.routesScript, routesScript) : undefined,
  };
}

/** Where the script is now; undefined: nowhere, as on a disk that is full. Requests are served without it too. */
async function writtenScript(path: string, text: string): Promise<string | undefined> {
  try {
    if ((await readIfThere(path)) !== text) await writeAtomically(path, text);
    return path;
  } catch {
    return undefined;
  }
}

function haproxyOf(
  { haproxy: binary, accessLog: sharesOutput }: ProxyAgentConfig,
  { clock, log, capabilitiesOf }: Pick<ProxyAgentDeps, 'clock' | 'log' | 'capabilitiesOf'>,
  paths: StatePaths,
): HaproxyProcess {
  return new HaproxyProcess(
    paths,
    { binary, commandTimeoutMs, startTimeoutMs, capabilitiesOf, sharesOutput },
    { clock, log: log.child({ component: 'haproxy' }) },
  );
}

async function openCertificates(
  { certificates: directory }: StatePaths,
  {
    configStore,
    haproxy,
    outbox,
    clock,
    log: parent,
  }: Pick<Parts, 'configStore' | 'haproxy' | 'outbox'> & Pick<ProxyAgentDeps, 'clock' | 'log'>,
): Promise<CertificateKeeper> {
  const log = parent.child({ component: 'certificates' });
  const keeper = new CertificateKeeper({
    ...{ clock, log, files: new CertificateFiles(directory, log) },
    exclusively: (action) => configStore.exclusively(action),
    connect: async (signal) => (await haproxy.connect(signal)).client,
    onHeld: (held) => {
      outbox.setCertificates(held);
    },
    onProblem: (words) => {
      outbox.setProblem('certificates', words);
    },
  });
  await keeper.open();
  return keeper;
}

/** An id that was made up stays the same for ever: the coordinator knows the proxy by it. */
async function keptProxyId(path: string, random: Random): Promise<string> {
  const kept = (await readIfThere(path))?.trim();
  if (kept !== undefined) {
    if (/^[0-9a-f]{32}$/.test(kept)) return kept;
    throw unreadable(
      path,
      'it is not the id that was written there. Restore it from a copy; or remove it, and this is another proxy to the coordinator',
    );
  }
  const id = random.id();
  await writeAtomically(path, `${id}\n`);
  return id;
}

async function reportRegularly(
  { driver }: Parts,
  { clock, log }: ProxyAgentDeps,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const startedAt = clock.monotonic();
    try {
      await driver.report(signal);
    } catch (error) {
      log.debug({ err: messageOf(error) }, 'could not read the counters of HAProxy');
    }
    const tookMs = clock.monotonic() - startedAt;
    await clock.sleep(Math.max(reportEveryMs, tookMs / backgroundShare), signal);
  }
}

/** Off the path of a change: HAProxy has it before the disk does. */
async function saveRegularly(
  parts: Parts,
  { clock, log }: ProxyAgentDeps,
  signal: AbortSignal,
): Promise<void> {
  const { driver, outbox } = parts;
  let notBefore = 0;
  while (!signal.aborted) {
    await driver.saving.wait(signal);
    await clock.sleep(Math.max(saveAfterMs, notBefore - clock.monotonic()), signal);
    const startedAt = clock.monotonic();
    let tookMs = 0;
    try {
      await save(parts);
      outbox.setProblem('disk', undefined);
      tookMs = clock.monotonic() - startedAt;
    } catch (error) {
      outbox.setProblem('disk', `the state directory cannot be written: ${messageOf(error)}`);
      log.error({ err: error }, 'could not save the list');
      driver.saving.notify();
    }
    notBefore = clock.monotonic() + Math.max(saveEveryMs, tookMs / backgroundShare);
  }
}

async function save({ driver, listFile, configStore }: Parts): Promise<void> {
  const { list } = driver;
  if (list === undefined) return;
  await listFile.write(list.toSnapshot());
  await configStore.write(() => {
    const { configuration } = driver;
    return configuration === undefined
      ? undefined
      : { configuration, targets: list.targets.values() };
  });
}

async function stopHaproxy(
  { driver, haproxy }: Parts,
  graceMs: number,
  { log }: ProxyAgentDeps,
): Promise<void> {
  const { configuration } = driver;
  log.info({ graceMs }, 'stopping HAProxy when its last request is done');
  try {
    const never = new AbortController().signal;
    const live = await LiveHaproxy.attach(await haproxy.connect(never), haproxy, never);
    if (configuration !== undefined) await live.endHandoffs(portsOf(configuration));
    live.close();
  } catch (error) {
    log.debug({ err: messageOf(error) }, 'HAProxy could not be told of its end');
  }
  await haproxy.stop(graceMs);
}
