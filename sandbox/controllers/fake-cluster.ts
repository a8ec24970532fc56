import { randomUUID } from 'node:crypto';
import type { Clock } from '#runtime/clock.ts';
import type { LocalClient, DeleteOptions, PatchType, WatchHandler } from '../apiserver/local-client.ts';
import type { KubeObject, NewObject } from '../apiserver/object.ts';
import { resourceKey, type ResourceType } from '../apiserver/registry.ts';
import { builtinResources } from '../apiserver/builtin-resources.ts';
import { alreadyExists, conflict, forbidden, notFound, staleVersion } from '../apiserver/status-error.ts';
import { timestamp } from './controller.ts';
import { sameJson } from './json.ts';
import { randomSuffix } from './hash.ts';

export type RecordedEvent = { involved: string; type: string; reason: string; message: string };
type Custom = Pick<
  ResourceType,
  'group' | 'version' | 'kind' | 'plural' | 'isNamespaced' | 'hasStatus' | 'hasGeneration'
>;

/**
 * For tests of controllers: what they rely on in the API server (versions, generations, finalizers, graceful deletion,
 * watches in commit order) and nothing else. No validation and no defaulting, and objects are frozen.
 */
export class FakeCluster implements LocalClient {
  readonly events: RecordedEvent[] = [];
  /** Called before every creation; throws to refuse it. */
  refuse: (resource: string, object: NewObject) => void = () => {};
  readonly #clock: Clock;
  readonly #types = new Map<string, Custom>(builtinResources.map((type) => [resourceKey(type), type]));
  readonly #objects = new Map<string, Map<string, KubeObject>>();
  readonly #watchers = new Map<string, Set<WatchHandler>>();
  #version = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Serves a custom resource, as an established CustomResourceDefinition would. */
  serve(type: Custom): void {
    this.#types.set(resourceKey(type), type);
  }

  /** Counts all changes. */
  get version(): number {
    return this.#version;
  }

  get(resource: string, namespace: string | undefined, name: string): KubeObject | undefined {
    return this.#bucket(resource).get(`${namespace ?? ''}/${name}`);
  }

  list(resource: string, namespace?: string): readonly KubeObject[] {
    const all = [...this.#bucket(resource).values()];
    return namespace === undefined ? all : all.filter((object) => object.metadata.namespace === namespace);
  }

  async create(resource: string, object: NewObject): Promise<KubeObject> {
    await Promise.resolve();
    const type = this.#type(resource);
    this.refuse(resource, object);
    const { namespace, generateName = '' } = object.metadata;
    const name = object.metadata.name ?? `${generateName}${randomSuffix(5)}`;
    if (type.isNamespaced) this.#requireNamespace(type, name, namespace);
    if (this.get(resource, namespace, name) !== undefined) throw alreadyExists(type, name);
    const created = {
      apiVersion: type.group === '' ? type.version : `${type.group}/${type.version}`,
      kind: type.kind,
      ...object,
      ...(resource === 'namespaces' ? { spec: { finalizers: ['kubernetes'] }, status: { phase: 'Active' } } : {}),
      metadata: {
        ...object.metadata,
        name,
        uid: randomUUID(),
        creationTimestamp: timestamp(this.#clock.now()),
        ...(type.hasGeneration ? { generation: 1 } : {}),
        resourceVersion: '',
      },
    };
    return this.#commit(resource, created);
  }

  async update(
    resource: string,
    object: KubeObject,
    subresource?: 'status' | 'scale' | 'finalize',
  ): Promise<KubeObject> {
    await Promise.resolve();
    const type = this.#type(resource);
    const { namespace, name } = object.metadata;
    const old = this.get(resource, namespace, name);
    if (old === undefined) throw notFound(type, name);
    if (object.metadata.uid !== old.metadata.uid) throw conflict(type, name, 'the uid differs');
    if (object.metadata.resourceVersion !== old.metadata.resourceVersion) throw staleVersion(type, name);
    const { metadata, status, ...content } = structuredClone(object);
    if (subresource === 'status') return this.#replace(resource, old, { ...old, status });
    if (subresource === 'finalize') return this.#replace(resource, old, { ...old, spec: content['spec'] });
    const { metadata: _, status: oldStatus, ...oldContent } = old;
    const isSame = sameJson(content, oldContent);
    const generation = old.metadata.generation;
    return this.#replace(resource, old, {
      ...content,
      ...(type.hasStatus
        ? oldStatus === undefined
          ? {}
          : { status: oldStatus }
        : status === undefined
          ? {}
          : { status }),
      apiVersion: old.apiVersion,
      kind: old.kind,
      metadata: { ...metadata, ...(generation === undefined ? {} : { generation: generation + (isSame ? 0 : 1) }) },
    });
  }

  /** Only what a scheduler does: bind a pod. */
  async patch(
    resource: string,
    namespace: string | undefined,
    name: string,
    _type: PatchType,
    body: unknown,
    subresource?: string,
  ): Promise<KubeObject> {
    await Promise.resolve();
    const old = this.get(resource, namespace, name);
    if (old === undefined) throw notFound(this.#type(resource), name);
    if (subresource !== 'binding') throw new Error('the fake cluster binds pods and knows no other patch');
    const { nodeName } = (body as { spec: { nodeName: string } }).spec;
    return this.#replace(resource, old, { ...old, spec: { ...(old['spec'] as object), nodeName } });
  }

  async delete(
    resource: string,
    namespace: string | undefined,
    name: string,
    options: DeleteOptions = {},
  ): Promise<void> {
    await Promise.resolve();
    const type = this.#type(resource);
    const old = this.get(resource, namespace, name);
    if (old === undefined) throw notFound(type, name);
    if (options.uid !== undefined && options.uid !== old.metadata.uid) throw conflict(type, name, 'the uid differs');
    const finalizers = new Set(old.metadata.finalizers);
    if (options.propagationPolicy === 'Foreground') finalizers.add('foregroundDeletion');
    if (options.propagationPolicy === 'Orphan') finalizers.add('orphan');
    const graceSeconds = this.#graceSeconds(resource, old, options);
    const isNamespace =
      resource === 'namespaces' && (old['spec'] as { finalizers?: string[] }).finalizers?.length !== 0;
    if (finalizers.size === 0 && graceSeconds === 0 && !isNamespace) return this.#remove(resource, old);
    const metadata = {
      ...old.metadata,
      finalizers: [...finalizers],
      deletionTimestamp: old.metadata.deletionTimestamp ?? timestamp(this.#clock.now() + graceSeconds * 1000),
      deletionGracePeriodSeconds: graceSeconds,
    };
    const changed: KubeObject = { ...old, metadata };
    if (resource === 'namespaces') changed['status'] = { phase: 'Terminating' };
    this.#replace(resource, old, changed);
  }

  watch(resource: string, handler: WatchHandler): Disposable {
    for (const object of this.#bucket(resource).values()) handler.apply(object);
    const watchers = this.#watchers.get(resource) ?? new Set();
    this.#watchers.set(resource, watchers.add(handler));
    return { [Symbol.dispose]: () => void watchers.delete(handler) };
  }

  async createToken(): Promise<{ token: string; expirationTimestamp: string }> {
    await Promise.resolve();
    throw new Error('the fake cluster makes no tokens');
  }

  event(involved: KubeObject, type: 'Normal' | 'Warning', reason: string, message: string): void {
    this.events.push({ involved: `${involved.kind}/${involved.metadata.name}`, type, reason, message });
  }

  #type(resource: string): Custom {
    const type = this.#types.get(resource);
    if (type === undefined) throw new Error(`${resource} is not served`);
    return type;
  }

  #bucket(resource: string): Map<string, KubeObject> {
    this.#type(resource);
    let bucket = this.#objects.get(resource);
    if (bucket === undefined) this.#objects.set(resource, (bucket = new Map<string, KubeObject>()));
    return bucket;
  }

  #requireNamespace(type: Custom, name: string, namespace = ''): void {
    const found = this.get('namespaces', undefined, namespace);
    if (found === undefined) throw notFound({ group: '', plural: 'namespaces', kind: 'Namespace' }, namespace);
    if (found.metadata.deletionTimestamp === undefined) return;
    const message = `unable to create new content in namespace ${namespace} because it is being terminated`;
    throw forbidden(type, name, message, [{ reason: 'NamespaceTerminating', message }]);
  }

  #graceSeconds(resource: string, object: KubeObject, options: DeleteOptions): number {
    const { nodeName } = (object['spec'] ?? {}) as { nodeName?: string };
    const { phase } = (object['status'] ?? {}) as { phase?: string };
    if (resource !== 'pods' || !nodeName || phase === 'Succeeded' || phase === 'Failed') return 0;
    return options.gracePeriodSeconds ?? 30;
  }

  #replace(resource: string, old: KubeObject, changed: KubeObject): KubeObject {
    if (sameJson(old, changed)) return old;
    const { deletionTimestamp, deletionGracePeriodSeconds, finalizers = [] } = changed.metadata;
    const spec = (changed['spec'] ?? {}) as { finalizers?: string[] };
    const isHeld = resource === 'namespaces' && spec.finalizers?.length !== 0;
    const stored = this.#commit(resource, changed, old);
    if (deletionTimestamp !== undefined && finalizers.length === 0 && !isHeld && !deletionGracePeriodSeconds) {
      this.#remove(resource, stored);
    }
    return stored;
  }

  #commit(resource: string, object: KubeObject, old?: KubeObject): KubeObject {
    this.#version += 1;
    const stored = freeze(
      structuredClone({ ...object, metadata: { ...object.metadata, resourceVersion: String(this.#version) } }),
    );
    this.#bucket(resource).set(`${stored.metadata.namespace ?? ''}/${stored.metadata.name}`, stored);
    for (const watcher of this.#watchers.get(resource) ?? []) watcher.apply(stored, old);
    return stored;
  }

  #remove(resource: string, object: KubeObject): void {
    this.#version += 1;
    this.#bucket(resource).delete(`${object.metadata.namespace ?? ''}/${object.metadata.name}`);
    for (const watcher of this.#watchers.get(resource) ?? []) watcher.delete(object);
  }
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    Object.freeze(value);
    for (const field of Object.values(value)) freeze(field);
  }
  return value;
}
