// The control plane of the bench, in the pod of the server: prints its trust anchors, and listens until it is killed.
import { networkMatches } from '#model/authorization.ts';
import type { Endpoint } from '#model/endpoint.ts';
import type { OutboundPolicy } from '#model/outbound.ts';
import type { ResourceRef } from '#model/resource-ref.ts';
import type { HttpRule } from '#model/route.ts';
import { createTestAuthority } from '#pki/testing.ts';
import { TestControlPlane } from '../testing/control-plane.ts';
import { identityOf } from '../testing/mesh.ts';
import { APP } from './backend.ts';
import { CONTROL_PORT, SERVICE_HOST, SERVICE_IP, SERVICE_PORTS } from './service.ts';

/** Proxies ask for the policy of their admin endpoint too. */
const ADMIN_PORT = 4191;

async function main(host: string): Promise<void> {
  const control = new TestControlPlane(createTestAuthority(), host);
  control.port = CONTROL_PORT;
  process.stdout.write(control.authority.anchorsPem);
  const identity = { kind: 'dns', name: identityOf('web'), serverName: identityOf('web') } as const;
  const service: ResourceRef = { type: 'resource', group: 'core', kind: 'Service', name: 'web', namespace: 'shop' };
  for (const kind of ['http', 'http2', 'opaque', 'grpc'] as const) {
    const port = SERVICE_PORTS[kind];
    const name = `${SERVICE_HOST}:${port}`;
    const endpoint: Endpoint = {
      address: host,
      port: APP[kind],
      weight: 10_000,
      labels: { deployment: 'web', pod: 'web-1', namespace: 'shop' },
      identity,
      protocolHint: kind === 'opaque' ? 'opaque' : 'h2',
      opaqueTransportPort: 4143,
    };
    control.setEndpoints(name, [endpoint]);
    control.setProfile(`${SERVICE_IP}:${port}`, { fullyQualifiedName: SERVICE_HOST, isOpaque: kind === 'opaque' });
    if (kind !== 'opaque') control.setOutboundPolicy(port, policy(service, name));
  }
  for (const port of [...Object.values(APP), ADMIN_PORT])
    control.setPolicy(port, {
      ref: { type: 'resource', group: 'policy.linkerd.io', kind: 'Server', name: 'web', namespace: 'shop' },
      protocol: port === APP.opaque ? { kind: 'opaque' } : { kind: 'detect', timeoutMs: 10_000, routes: [] },
      authorizations: [
        {
          ref: { type: 'resource', group: 'policy.linkerd.io', kind: 'AuthorizationPolicy', name: 'friends' },
          networks: networkMatches(['0.0.0.0/0']),
          authentication: { kind: 'identities', names: [identityOf('client')], suffixes: [] },
        },
      ],
    });
  await control.start();
}

/** Five routes with retries, timeouts and failure accrual, so that nothing that people use is for free. */
function policy(service: ResourceRef, authority: string): OutboundPolicy {
  const backend = { backend: { ref: service, target: { kind: 'balancer', authority } }, filters: [] } as const;
  const rule = (path: string): HttpRule => ({
    matches: [{ path: { kind: 'prefix', value: path }, headers: [], queryParams: [] }],
    filters: [],
    distribution: { kind: 'first-available', backends: [backend] },
    timeouts: { requestMs: 30_000 },
    allowsRequestHeaders: false,
    retry: { maxRetries: 2, maxRequestBytes: 65_536, conditions: [{ min: 500, max: 599 }] },
  });
  return {
    ref: service,
    protocol: {
      kind: 'detect',
      timeoutMs: 10_000,
      opaque: {
        ref: { type: 'default', name: 'opaque' },
        filters: [],
        distribution: { kind: 'first-available', backends: [backend] },
      },
      routes: ['/orders', '/users', '/static', '/login', '/'].map((path, index) => ({
        ref: {
          type: 'resource',
          group: 'gateway.networking.k8s.io',
          kind: 'HTTPRoute',
          name: `route-${index}`,
          namespace: 'shop',
        },
        hosts: [],
        rules: [rule(path)],
      })),
      failureAccrual: {
        kind: 'consecutive',
        maxFailures: 7,
        backoff: { minMs: 1_000, maxMs: 60_000, jitterRatio: 0.5 },
      },
    },
  };
}

await main(process.argv[2] ?? '127.0.0.1');
