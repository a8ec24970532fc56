// A cluster with the real control plane in it, and foreign clients of its three services.
import { asObject } from '#k8s/json.ts';
import type { ObjectMeta } from '../../../sandbox/apiserver/object.ts';
import { defaultValues } from '#config/values.ts';
import { renderCrds, renderGatewayApiCrds } from '../../install/render.ts';
import { SERVER_NAME, startControlPlane } from '../testing-process.ts';
import { ForeignClient } from './client.ts';

type Fields = Readonly<Record<string, unknown>>;
type Given = {
  readonly metadata: { readonly name: string; readonly [field: string]: unknown };
  readonly [field: string]: unknown;
};

const IDENTITY_NAME = 'tulle-identity.tulle.serviceaccount.identity.tulle.cluster.local';
const SLICES = 'endpointslices.discovery.k8s.io';

/** Objects of one namespace, written as a user or a controller writes them. No controller runs: slices are the test's own. */
export class Namespace {
  readonly name: string;
  readonly #world: World;

  constructor(name: string, world: World) {
    this.name = name;
    this.#world = world;
  }

  /** Creates an object, or puts it in the place of the one with its name. */
  async put(resource: string, object: Given): Promise<void> {
    const { client } = this.#world.cluster.server;
    const metadata = { namespace: this.name, ...object.metadata } as ObjectMeta;
    const found = client.get(resource, this.name, object.metadata.name);
    if (found === undefined) {
      await client.create(resource, { ...object, metadata });
      return;
    }
    const { resourceVersion } = found.metadata;
    await client.update(resource, { ...found, ...object, metadata: { ...metadata, resourceVersion } });
  }

  async delete(resource: string, name: string): Promise<void> {
    await this.#world.cluster.server.client.delete(resource, this.name, name);
  }

  async patch(resource: string, name: string, patch: Fields): Promise<void> {
    await this.#world.cluster.server.client.patch(resource, this.name, name, 'merge', patch);
  }

  async service(name: string, spec: Fields, annotations: Fields = {}): Promise<void> {
    const { client } = this.#world.cluster.server;
    const kept = asObject(asObject(client.get('services', this.name, name))['spec']);
    const { clusterIP, clusterIPs } = kept;
    const type = spec['type'] ?? 'ClusterIP';
    const addresses = type === 'ExternalName' || clusterIP === undefined ? {} : { clusterIP, clusterIPs };
    await this.put('services', { metadata: { name, annotations }, spec: { ...addresses, ...spec } });
  }

  async deleteService(name: string): Promise<void> {
    await this.delete('services', name);
  }

  /** A running pod of service account `web`, on `node-1`, with a proxy unless it has other labels. */
  async pod(
    name: string,
    ips: readonly string[],
    more: { metadata?: Fields; spec?: Fields; status?: Fields } = {},
  ): Promise<void> {
    const { server } = this.#world.cluster;
    await this.#world.cluster.token(this.name, 'web'); // makes the service account
    const labels = { 'linkerd.io/control-plane-ns': 'tulle' };
    const spec = {
      serviceAccountName: 'web',
      nodeName: 'node-1',
      containers: [{ name: 'web', image: 'web' }],
      ...more.spec,
    };
    await server.client.create('pods', {
      metadata: { namespace: this.name, name, labels, ...more.metadata },
      spec,
    });
    const [podIP] = ips;
    const status = {
      phase: 'Running',
      podIP,
      podIPs: ips.map((ip) => ({ ip })),
      hostIP: '192.168.0.1',
      ...more.status,
    };
    await server.client.patch('pods', this.name, name, 'merge', { status }, 'status');
  }

  async deletePod(name: string): Promise<void> {
    const { client } = this.#world.cluster.server;
    await client.delete('pods', this.name, name, { gracePeriodSeconds: 0 });
  }

  async slice(
    name: string,
    service: string,
    ports: readonly Fields[],
    endpoints: readonly Fields[],
    more: Fields & { readonly annotations?: Fields } = {},
  ): Promise<void> {
    const { annotations = {}, ...fields } = more;
    const labels = { 'kubernetes.io/service-name': service };
    await this.put(SLICES, {
      metadata: { name, labels, annotations },
      addressType: 'IPv4',
      ports,
      endpoints,
      ...fields,
    });
  }

  async deleteSlice(name: string): Promise<void> {
    await this.delete(SLICES, name);
  }

  /** An endpoint that stands for a pod. */
  podEndpoint(pod: string, address: string, more: Fields = {}): Fields {
    return {
      addresses: [address],
      targetRef: { kind: 'Pod', namespace: this.name, name: pod },
      nodeName: 'node-1',
      ...more,
    };
  }

  /** A name below which a client may look for a Service. */
  host(name: string): string {
    return `${name}.${this.name}.svc.cluster.local`;
  }
}

export type World = Awaited<ReturnType<typeof startWorld>>;

export async function startWorld() {
  const controlPlane = await startControlPlane();
  const { ports, anchorsPem, cluster } = controlPlane;
  const destination = new ForeignClient(ports.destination, anchorsPem, SERVER_NAME);
  const policy = new ForeignClient(ports.policy, anchorsPem, SERVER_NAME);
  const identity = new ForeignClient(ports.identity, anchorsPem, IDENTITY_NAME);
  const world = {
    cluster,
    anchorsPem,
    stop: () => controlPlane.destination.stop(),
    destination,
    policy,
    identity,
    async namespace(name: string): Promise<Namespace> {
      if (cluster.server.client.get('namespaces', undefined, name) === undefined)
        await cluster.server.client.create('namespaces', { metadata: { name } });
      return new Namespace(name, world);
    },
    /** Defines the kinds of a group, as the installation does it. */
    async define(group: string): Promise<void> {
      const definitions = [...renderCrds(defaultValues('0.0.0')), ...renderGatewayApiCrds()];
      for (const definition of definitions.filter(({ metadata }) => metadata.name.replace(/^\w+\./, '') === group))
        await cluster.server.client.create('customresourcedefinitions.apiextensions.k8s.io', definition);
    },
    async node(name: string, zone: string): Promise<void> {
      await cluster.server.client.create('nodes', {
        metadata: { name, labels: { 'topology.kubernetes.io/zone': zone } },
      });
    },
    async [Symbol.asyncDispose]() {
      for (const client of [destination, policy, identity]) client[Symbol.dispose]();
      await controlPlane[Symbol.asyncDispose]();
    },
  };
  return world;
}

/** What a proxy says about itself when it asks. */
export function contextToken(namespace: string, nodeName?: string): string {
  return `${JSON.stringify({ ns: namespace, ...(nodeName !== undefined && { nodeName }), pod: 'client' })}\n`;
}
