import { DomainError } from '../../shared/errors.ts';
import type { ServiceId } from '../../shared/ids.ts';
import type { ControlServiceDefinition } from '../../shared/gen/fairlead/v1/control_service.ts';
import type { Role } from '../model.ts';
import type { Call } from './call.ts';

export type ControlMethod = keyof typeof ControlServiceDefinition.methods;

/**
 * What a call amounts to. The scope of a token is checked besides, against each object that is named.
 *
 * - `know`: who am I talking to
 * - `read`: look at services and what belongs to them
 * - `read-fleet`: look at nodes
 * - `run`: start, stop, scale, redeploy
 * - `define`: change what is to run
 * - `administer`: nodes, tokens
 */
export type Access = 'know' | 'read' | 'read-fleet' | 'run' | 'define' | 'administer';

/** Who may call what: the one table. */
export const accessOf: Readonly<Record<ControlMethod, Access>> = {
  getInfo: 'know',
  createService: 'define',
  getService: 'read',
  listServices: 'read',
  watchServices: 'read',
  updateService: 'define',
  scaleService: 'run',
  startService: 'run',
  stopService: 'run',
  redeployService: 'run',
  removeService: 'define',
  addLink: 'define',
  removeLink: 'define',
  getContainer: 'read',
  listContainers: 'read',
  watchContainers: 'read',
  startContainer: 'run',
  stopContainer: 'run',
  redeployContainer: 'run',
  removeContainer: 'run',
  getNode: 'read-fleet',
  listNodes: 'read-fleet',
  watchNodes: 'read-fleet',
  updateNode: 'administer',
  removeNode: 'administer',
  listEndpoints: 'read',
  watchEndpoints: 'read',
  listProxies: 'read',
  watchProxies: 'read',
  getAction: 'read',
  listActions: 'read',
  watchActions: 'read',
  listEvents: 'read',
  watchEvents: 'read',
  createToken: 'administer',
  listTokens: 'administer',
  watchTokens: 'administer',
  revokeToken: 'administer',
};

const rolesWith: Readonly<Record<Access, readonly Role[]>> = {
  know: ['viewer', 'operator', 'admin', 'node', 'proxy'],
  read: ['viewer', 'operator', 'admin', 'proxy'],
  'read-fleet': ['viewer', 'operator', 'admin'],
  run: ['operator', 'admin'],
  define: ['operator', 'admin'],
  administer: ['admin'],
};

/** Throws 'forbidden' unless the caller's role may call the method. */
export function authorize(method: ControlMethod, { principal }: Pick<Call, 'principal'>): void {
  const access = accessOf[method];
  if (!rolesWith[access].includes(principal.role)) {
    throw forbidden(`the role ${principal.role} of token "${principal.name}" may not ${access}`);
  }
  // A program inside a container runs services; it does not redefine them.
  if (access === 'define' && principal.containerId !== null) {
    throw forbidden('the token of a container may not change definitions');
  }
  if (access === 'administer' && principal.scope !== null) {
    throw forbidden(`token "${principal.name}" is limited to some services`);
  }
}

/** Whether the caller's token reaches a service. */
export function inScope({ principal }: Pick<Call, 'principal'>, service: ServiceId): boolean {
  return principal.scope === null || principal.scope.has(service);
}

/** Throws 'forbidden' unless the caller's token reaches the service. */
export function requireScope(
  call: Pick<Call, 'principal'>,
  service: { readonly id: ServiceId; readonly name: string },
): void {
  if (inScope(call, service.id)) return;
  throw forbidden(`token "${call.principal.name}" does not reach the service ${service.name}`);
}

/** Throws 'forbidden' if the caller's token is limited to some services. */
export function requireUnlimited({ principal }: Pick<Call, 'principal'>, what: string): void {
  if (principal.scope === null) return;
  throw forbidden(`token "${principal.name}" is limited to some services and may not ${what}`);
}

function forbidden(message: string): DomainError {
  return new DomainError('forbidden', `${message}; ask an administrator for a token that may`, {
    reason: 'PERMISSION_DENIED',
  });
}
