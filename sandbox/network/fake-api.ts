import type { LocalClient, WatchHandler } from '../apiserver/local-client.ts';
import type { KubeObject } from '../apiserver/object.ts';

/** Services and EndpointSlices without an API server, for tests: what is set here reaches the watchers at once. */
export class FakeApi implements Pick<LocalClient, 'watch'> {
  readonly #objects = new Map<string, KubeObject>();
  readonly #handlers = new Map<string, Set<WatchHandler>>();

  watch(resource: string, handler: WatchHandler): Disposable {
    const handlers = this.#handlers.get(resource) ?? new Set();
    this.#handlers.set(resource, handlers.add(handler));
    for (const [key, object] of this.#objects) if (key.startsWith(`${resource} `)) handler.apply(object);
    return { [Symbol.dispose]: () => void handlers.delete(handler) };
  }

  set(resource: string, namespace: string, name: string, fields: Partial<KubeObject>): void {
    const { metadata, ...rest } = fields;
    const fixed = { uid: `${namespace}-${name}`, resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z' };
    const object: KubeObject = {
      apiVersion: 'v1',
      kind: resource,
      ...rest,
      metadata: { ...fixed, ...metadata, name, namespace },
    };
    this.#objects.set(`${resource} ${namespace}/${name}`, object);
    for (const handler of this.#handlers.get(resource) ?? []) handler.apply(object);
  }

  delete(resource: string, namespace: string, name: string): void {
    const key = `${resource} ${namespace}/${name}`;
    const object = this.#objects.get(key);
    this.#objects.delete(key);
    if (object !== undefined) for (const handler of this.#handlers.get(resource) ?? []) handler.delete(object);
  }

  service(namespace: string, name: string, spec: object): void {
    this.set('services', namespace, name, { spec });
  }

  /** One EndpointSlice of a Service. An endpoint is an address, or the object of the API. */
  slice(
    namespace: string,
    service: string,
    endpoints: readonly (string | object)[],
    ports: readonly object[],
    name = `${service}-a`,
  ): void {
    this.set('endpointslices.discovery.k8s.io', namespace, name, {
      metadata: { labels: { 'kubernetes.io/service-name': service } } as unknown as KubeObject['metadata'],
      addressType: 'IPv4',
      endpoints: endpoints.map((one) =>
        typeof one === 'string' ? { addresses: [one], conditions: { ready: true } } : one,
      ),
      ports,
    });
  }
}
