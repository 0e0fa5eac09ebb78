import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './command.ts';
import { namespacePath, type HostPlan, type LabPlan } from './plan.ts';

/**
 * The wires of a lab: a bridge in a namespace of its own, a link from it to the root namespace
 * (the gateway) and one to each host.
 *
 * The bridge is not in the root namespace because an engine there filters bridged packets and
 * drops them. Neighbours are entered by hand, so that a dead host is silence, as it is behind a
 * router, and not "no route to host".
 */
export async function createBridge(plan: LabPlan, signal: AbortSignal): Promise<void> {
  await ip(
    undefined,
    [
      `netns add ${plan.bridgeNamespace}`,
      `link add ${plan.gatewayLink} address ${plan.gatewayMac} type veth peer name gateway netns ${plan.bridgeNamespace}`,
      `link set ${plan.gatewayLink} addrgenmode none`,
      `addr add ${plan.gatewayAddress}/24 dev ${plan.gatewayLink}`,
      `link set ${plan.gatewayLink} up`,
      ...plan.hosts.map((host) => neighbour(host, plan.gatewayLink)),
    ],
    signal,
  );
  await ip(
    plan.bridgeNamespace,
    [
      'link set lo up',
      'link add bridge type bridge',
      'link set bridge addrgenmode none',
      'link set bridge up',
      'link set gateway addrgenmode none',
      'link set gateway master bridge up',
    ],
    signal,
  );
}

/** Gives a host its namespace and plugs its cable in. */
export async function createHostNetwork(
  plan: LabPlan,
  host: HostPlan,
  signal: AbortSignal,
): Promise<void> {
  const others = plan.hosts.filter((other) => other !== host);
  await ip(
    undefined,
    [
      `netns add ${host.namespace}`,
      `link add eth0 netns ${host.namespace} address ${host.mac} type veth peer name ${host.name} netns ${plan.bridgeNamespace}`,
    ],
    signal,
  );
  await ip(
    plan.bridgeNamespace,
    [`link set ${host.name} addrgenmode none`, `link set ${host.name} master bridge up`],
    signal,
  );
  await ip(
    host.namespace,
    [
      'link set lo up',
      'link set eth0 addrgenmode none',
      `addr add ${host.address}/24 dev eth0`,
      'link set eth0 up',
      neighbour({ address: plan.gatewayAddress, mac: plan.gatewayMac }, 'eth0'),
      ...others.map((other) => neighbour(other, 'eth0')),
      `route add default via ${plan.gatewayAddress}`,
    ],
    signal,
  );
}

/** Takes a host's cable away, so that nothing that ends on it can say goodbye. */
export async function removeHostLink(
  plan: LabPlan,
  host: HostPlan,
  signal: AbortSignal,
): Promise<void> {
  await ip(plan.bridgeNamespace, [`link del ${host.name}`], signal);
}

/** Every packet from and to the host vanishes; nobody is told. */
export async function cutHostLink(
  plan: LabPlan,
  host: HostPlan,
  signal: AbortSignal,
): Promise<void> {
  await ip(plan.bridgeNamespace, [`link set ${host.name} nomaster`], signal);
}

/** Undoes `cutHostLink`. */
export async function healHostLink(
  plan: LabPlan,
  host: HostPlan,
  signal: AbortSignal,
): Promise<void> {
  await ip(plan.bridgeNamespace, [`link set ${host.name} master bridge`], signal);
}

/** Removes a namespace and the links that end in it; one that is gone already is fine. */
export async function removeNamespace(name: string, signal: AbortSignal): Promise<void> {
  await removeUnlessGone(() => namespaceExists(name), ['netns', 'del', name], signal);
}

/** Removes the gateway's link, both ends at once; one that is gone already is fine. */
export async function removeGateway(plan: LabPlan, signal: AbortSignal): Promise<void> {
  const exists = () => existsSync(join('/sys/class/net', plan.gatewayLink));
  await removeUnlessGone(exists, ['link', 'del', plan.gatewayLink], signal);
}

/** Whether a namespace of this name was made and not removed. */
export function namespaceExists(name: string): boolean {
  return existsSync(namespacePath(name));
}

function neighbour({ address, mac }: { address: string; mac: string }, link: string): string {
  return `neigh replace ${address} lladdr ${mac} nud permanent dev ${link}`;
}

/** Two processes may remove the same lab at once: what the other one removed is no failure. */
async function removeUnlessGone(
  exists: () => boolean,
  args: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  if (!exists()) return;
  try {
    await run('ip', args, {}, signal);
  } catch (error) {
    if (exists()) throw error;
  }
}

async function ip(
  namespace: string | undefined,
  lines: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const where = namespace === undefined ? [] : ['-netns', namespace];
  await run('ip', [...where, '-batch', '-'], { input: `${lines.join('\n')}\n` }, signal);
}
