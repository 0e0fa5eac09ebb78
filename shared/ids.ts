/** Makes strings of different meaning different types; costs nothing at run time. */
export type Brand<T, Name extends string> = T & { readonly __brand: Name };

export type ServiceId = Brand<string, 'ServiceId'>;
export type ContainerId = Brand<string, 'ContainerId'>;
export type NodeId = Brand<string, 'NodeId'>;
export type NodeClusterId = Brand<string, 'NodeClusterId'>;
export type ActionId = Brand<string, 'ActionId'>;
export type CertificateId = Brand<string, 'CertificateId'>;
export type TokenId = Brand<string, 'TokenId'>;
export type ProxyId = Brand<string, 'ProxyId'>;
export type SessionId = Brand<string, 'SessionId'>;

/**
 * Names of services, nodes and links: they become host names, HAProxy names and parts of engine
 * names, so they follow the DNS label rule (RFC 1123) less the length that `-NNNNN` needs.
 */
export const namePattern = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
export const maxNameLength = 54;

/** Tags are compared, never resolved: a little wider than names. `hostname=` and a host name fit. */
export const tagPattern = /^[A-Za-z0-9][A-Za-z0-9_.=-]*$/;
export const maxTagLength = 80;

/** Keys of the tags that nodes have by themselves, `KEY=VALUE`; nobody can give or take them. */
export const automaticTagKeys = ['cluster', 'arch', 'os', 'hostname'] as const;
export type AutomaticTagKey = (typeof automaticTagKeys)[number];

/** Whether a tag has the form of an automatic one. */
export function isAutomaticTag(tag: string): boolean {
  return automaticTagKeys.some((key) => tag.startsWith(`${key}=`));
}

/** The first eight digits: enough to tell containers apart in names and on screens. */
export function shortId(id: string): string {
  return id.slice(0, 8);
}
