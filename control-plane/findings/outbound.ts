import type { IpAddress } from '#model/address.ts';
import type { OutboundPolicy } from '#model/outbound.ts';
import type { Profile } from '#model/profile.ts';
import type { Configuration } from './configuration.ts';

/** The policy that clients of a namespace get for a port of a Service, from the index that the control plane answers with. */
export function outboundOf(
  { outbound }: Configuration,
  namespace: string,
  service: string,
  port: number,
  clientNamespace: string,
): OutboundPolicy | undefined {
  using lease = outbound.watchName({ namespace, service, port }, clientNamespace);
  const { value } = lease.slot;
  return value.kind === 'policy' ? value.policy : undefined;
}

/** The same for an address. */
export function outboundOfAddress(
  { outbound }: Configuration,
  address: IpAddress,
  port: number,
  clientNamespace: string,
): OutboundPolicy | undefined {
  using lease = outbound.watchAddress(address, port, clientNamespace);
  const { value } = lease.slot;
  return value.kind === 'policy' ? value.policy : undefined;
}

/** What clients of a namespace are told by ServiceProfiles and TrafficSplits about a port of a Service. */
export function profileOf(
  configuration: Configuration,
  namespace: string,
  service: string,
  port: number,
  clientNamespace: string,
): Profile {
  const { traffic, context } = configuration;
  const parent = { type: 'resource', group: 'core', kind: 'Service', name: service, namespace, port } as const;
  const isOpaque = outboundOf(configuration, namespace, service, port, clientNamespace)?.protocol.kind === 'opaque';
  const fullyQualifiedName = `${service}.${namespace}.svc.${context.clusterDomain}`;
  return { fullyQualifiedName, isOpaque, parent, ...traffic.ofService(namespace, service, port, clientNamespace) };
}
