import { formatSocketAddress } from '#model/address.ts';
import type { ResourceRef } from '#model/resource-ref.ts';
import type { Labels } from './family.ts';

/** Source of the label groups: linkerd2-proxy metrics (`target_*`, `srv_*`, `route_*`, `authz_*`, `tls`). */
export function targetLabels(address: string, port: number): Labels {
  return { target_addr: formatSocketAddress(address, port), target_ip: address, target_port: String(port) };
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
