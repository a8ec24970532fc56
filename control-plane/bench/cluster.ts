import { defaultValues } from '#config/values.ts';
import { startTestCluster, type TestCluster } from '../../test/harness/api-server.ts';
import { renderCrds, renderGatewayApiCrds } from '../install/render.ts';

/** How large a cluster is. Services, and what belongs to them, are spread evenly over the namespaces. */
export type ClusterSize = { readonly services: number; readonly endpoints: number; readonly namespaces: number };

export const PORT = 80;
export const TARGET_PORT = 8080;

/** Names of everything that belongs to the nth Service. */
export type Place = { readonly nth: number; readonly namespace: string; readonly name: string; readonly ip: string };

export function placeOf(nth: number, { namespaces }: ClusterSize): Place {
  return { nth, namespace: `ns-${nth % namespaces}`, name: `web-${nth}`, ip: address(96, nth + 1_000) };
}

/** The nth address of 10.BLOCK.0.0 and those that follow. */
function address(block: number, nth: number): string {
  return `10.${block + (nth >> 16)}.${(nth >> 8) & 255}.${nth & 255}`;
}

/** An API server with the definitions of all kinds in it, and the namespaces. */
export async function startCluster(size: ClusterSize): Promise<TestCluster> {
  const cluster = await startTestCluster();
  const { client } = cluster.server;
  for (const definition of [...renderCrds(defaultValues('0.0.0')), ...renderGatewayApiCrds()])
    await client.create('customresourcedefinitions.apiextensions.k8s.io', definition);
  for (let nth = 0; nth < size.namespaces; nth += 1) {
    await client.create('namespaces', { metadata: { name: `ns-${nth}` } });
    await client.create('serviceaccounts', { metadata: { namespace: `ns-${nth}`, name: 'default' } });
  }
  return cluster;
}

/** Fills it: each Service with its pods and their addresses, a route, a Server, and a policy that says who gets in. */
export async function fillCluster({ server: { client } }: TestCluster, size: ClusterSize): Promise<void> {
  const perService = Math.ceil(size.endpoints / size.services);
  for (let nth = 0; nth < size.services; nth += 1) {
    const place = placeOf(nth, size);
    const { namespace, name, ip } = place;
    const metadata = { namespace, name };
    const labels = { app: name, 'linkerd.io/control-plane-ns': 'tulle' };
    const pods = Array.from({ length: Math.min(perService, size.endpoints - nth * perService) }, (_, pod) => pod);
    for (const pod of pods) {
      const podIP = podAddress(nth * perService + pod);
      await client.create('pods', {
        metadata: { namespace, name: podName(place, pod), labels },
        spec: {
          serviceAccountName: 'default',
          nodeName: `node-${pod % 5}`,
          containers: [{ name: 'web', image: 'web' }],
        },
      });
      const status = { phase: 'Running', podIP, podIPs: [{ ip: podIP }], hostIP: '192.168.0.1' };
      await client.patch('pods', namespace, podName(place, pod), 'merge', { status }, 'status');
    }
    await client.create('services', {
      metadata,
      spec: { clusterIP: ip, selector: { app: name }, ports: [{ name: 'http', port: PORT, targetPort: TARGET_PORT }] },
    });
    await client.create('endpointslices.discovery.k8s.io', {
      metadata: { namespace, name, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: TARGET_PORT, protocol: 'TCP' }],
      endpoints: pods.map((pod) => podEndpoint(place, pod, podAddress(nth * perService + pod))),
    });
    await client.create('httproutes.gateway.networking.k8s.io', {
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'HTTPRoute',
      metadata,
      spec: { parentRefs: [{ group: '', kind: 'Service', name, port: PORT }], rules: routeRules(place, 30_000) },
    });
    const policy = (plural: string, version: string, kind: string, spec: object): Promise<unknown> =>
      client.create(`${plural}.policy.linkerd.io`, {
        apiVersion: `policy.linkerd.io/${version}`,
        kind,
        metadata,
        spec,
      });
    await policy('servers', 'v1beta3', 'Server', { podSelector: { matchLabels: { app: name } }, port: TARGET_PORT });
    await policy('meshtlsauthentications', 'v1alpha1', 'MeshTLSAuthentication', { identities: [clientName(0)] });
    await policy('authorizationpolicies', 'v1alpha1', 'AuthorizationPolicy', {
      targetRef: { group: 'policy.linkerd.io', kind: 'Server', name },
      requiredAuthenticationRefs: [{ group: 'policy.linkerd.io', kind: 'MeshTLSAuthentication', name }],
    });
  }
}

export function podName({ name }: Place, pod: number): string {
  return `${name}-${pod}`;
}

function podAddress(nth: number): string {
  return address(42, nth);
}

function podEndpoint(place: Place, pod: number, ip: string): object {
  const targetRef = { kind: 'Pod', namespace: place.namespace, name: podName(place, pod) };
  return { addresses: [ip], conditions: { ready: true }, targetRef, nodeName: `node-${pod % 5}` };
}

/** Two rules; the timeout of the second is what changes. */
export function routeRules({ name }: Place, timeoutMs: number): readonly object[] {
  const backendRefs = [{ name, port: PORT }];
  return [
    { matches: [{ path: { type: 'PathPrefix', value: '/static' } }], backendRefs },
    { backendRefs, timeouts: { request: `${Math.floor(timeoutMs / 1000)}s${timeoutMs % 1000}ms` } },
  ];
}

/** Identity of a client that a policy lets in. */
export function clientName(nth: number): string {
  return `client-${nth}.shop.serviceaccount.identity.tulle.cluster.local`;
}
