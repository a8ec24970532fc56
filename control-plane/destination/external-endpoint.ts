import { DEFAULT_WEIGHT, type Endpoint } from '#model/endpoint.ts';
import type { ExternalWorkload } from '../dialects/external-workload.ts';
import { DEFAULT_INBOUND_PORT, KEEP_ALIVE, plainEndpoint, zoneLabels, type Zones } from './pod-endpoint.ts';

/** Port of a workload on which its proxy takes what comes for others, when it is not 4143. */
const PROXY_PORT_NAME = 'linkerd-proxy';

/**
 * One port of an external workload as an endpoint. Its identity is what its object says, and a URI: such workloads get their
 * certificates from SPIRE. Source: linkerd2 `controller/api/destination`.
 *
 * @param isOpaque  the port carries raw bytes
 */
export function externalEndpoint(
  workload: ExternalWorkload,
  address: string,
  port: number,
  zones: Zones,
  isOpaque: boolean,
): Endpoint {
  const { meshTls, name, ports } = workload;
  const inboundPort = ports.find((one) => one.name === PROXY_PORT_NAME)?.port ?? DEFAULT_INBOUND_PORT;
  return {
    ...plainEndpoint(address, port),
    weight: DEFAULT_WEIGHT,
    labels: { external_workload: name, ...zoneLabels(zones) },
    ...(meshTls && {
      identity: { kind: 'uri', name: meshTls.identity, serverName: meshTls.serverName },
      http2: { keepAlive: KEEP_ALIVE },
      protocolHint: isOpaque ? 'opaque' : 'h2',
      opaqueTransportPort: inboundPort,
    }),
  };
}
