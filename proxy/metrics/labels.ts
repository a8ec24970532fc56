import { formatSocketAddress } from '#model/address.ts';
import type { ResourceRef } from '#model/resource-ref.ts';
import type { Labels } from './family.ts';

/** Source of the label groups: linkerd2-proxy metrics (`target_*`, `srv_*`, `route_*`, `authz_*`, `tls`). */
export function targetLabels(address: string, port: number): Labels {
  return { target_addr: formatSocketAddress(address, port), target_ip: address, target_port: String(port) };
}

/** @param target  `address:port`; anything else has no labels */
export function targetLabelsOf(target: string): Labels {
  const [, bracketed, plain, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d+)$/.exec(target) ?? [];
  const address = bracketed ?? plain;
  return address === undefined ? {} : targetLabels(address, Number(port));
}

const LINKERD_ERRORS: Readonly<Record<string, string>> = {
  'no-endpoint': 'failfast',
  'endpoints-ejected': 'failfast',
  'load-shed': 'loadshed',
  'identity-required': 'identity required',
  'connect-refused': 'i/o',
  'connect-failed': 'i/o',
  'connect-timeout': 'i/o',
  'peer-identity': 'i/o',
  'http2-refused': 'i/o',
  'server-closed': 'i/o',
  'request-timeout': 'response timeout',
  'response-timeout': 'response timeout',
  'attempt-timeout': 'response timeout',
  'idle-timeout': 'response timeout',
  loop: 'gateway loop',
};
/** What a policy has decided is no error. */
const DENIALS: ReadonlySet<string> = new Set([
  'unauthorized',
  'forbidden',
  'rate-limited',
  'no-route',
  'client-closed',
]);

/** What linkerd2-proxy calls an error of ours in `*_errors_total`; nothing for what it does not count there. */
export function linkerdError(code: string): string | undefined {
  return DENIALS.has(code) ? undefined : (LINKERD_ERRORS[code] ?? 'unexpected');
}

/** @param prefix  `parent`, `route` or `backend`. Source: linkerd2-proxy metrics. */
export function objectLabels(prefix: 'parent' | 'route' | 'backend', ref: ResourceRef): Labels {
  if (ref.type === 'default') {
    const names: Labels = { [`${prefix}_group`]: '', [`${prefix}_kind`]: 'default', [`${prefix}_namespace`]: '' };
    return { ...names, [`${prefix}_name`]: ref.name, ...placeLabels(prefix, '', '') };
  }
  const { group, kind, name, namespace = '', section = '', port } = ref;
  return {
    [`${prefix}_group`]: group,
    [`${prefix}_kind`]: kind,
    [`${prefix}_namespace`]: namespace,
    [`${prefix}_name`]: name,
    ...placeLabels(prefix, port === undefined ? '' : String(port), section),
  };
}

function placeLabels(prefix: 'parent' | 'route' | 'backend', port: string, section: string): Labels {
  return prefix === 'route' ? {} : { [`${prefix}_port`]: port, [`${prefix}_section_name`]: section };
}

/** @param prefix  `srv`, `route`, `authz` or `ratelimit` */
export function refLabels(prefix: 'srv' | 'route' | 'authz' | 'ratelimit', ref: ResourceRef): Labels {
  const { group, kind } = ref.type === 'default' ? { group: '', kind: 'default' } : ref;
  return { [`${prefix}_group`]: group, [`${prefix}_kind`]: kind, [`${prefix}_name`]: ref.name };
}

/** Why a connection has no mutual TLS. */
export type NoTlsReason =
  | 'loopback'
  | 'not_provided_by_service_discovery'
  | 'no_tls_from_remote'
  | 'port_skipped'
  | 'disabled';

export function noTlsLabels(reason: NoTlsReason): Labels {
  return { tls: 'no_identity', no_tls_reason: reason };
}

/** Discovery labels as they appear on outbound metrics. */
export function destinationLabels(labels: Readonly<Record<string, string>>): Labels {
  return Object.fromEntries(
    Object.entries(labels).map(([name, value]) => [`dst_${name.replace(/[^A-Za-z0-9_]/g, '_')}`, value]),
  );
}
