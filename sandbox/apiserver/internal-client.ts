import { createHash } from 'node:crypto';
import type { Deleter } from './deletion.ts';
import type { DeleteOptions, LocalClient, PatchType, TokenSpec, WatchHandler } from './local-client.ts';
import type { JsonObject, KubeObject, NewObject } from './object.ts';
import { randomSuffix, timestamp } from './object-meta.ts';
import type { Registry, ResourceType } from './registry.ts';
import { asStatusError, unknownResource } from './status-error.ts';
import { toScale, withScale } from './scale.ts';
import type { Store } from './store.ts';
import { fromStored, storeKey } from './stored-form.ts';
import type { TokenRequests } from './token-requests.ts';
import { serverUser } from './user.ts';
import type { WriteOptions } from './write-options.ts';
import type { ObjectTarget, Writer } from './writer.ts';
import { bindPod } from './binding.ts';

const KNOWN_EVENTS_MAX = 4096; // distinct events that are still counted up on one object
const MANAGER = 'tulle-sandbox';

const options: WriteOptions = {
  user: serverUser,
  isDryRun: false,
  fieldManager: MANAGER,
  fieldValidation: 'Ignore',
  warn: () => undefined,
};

/** The in-process client of one API server. */
export class InternalClient implements LocalClient {
  readonly #registry: Registry;
  readonly #store: Store;
  readonly #writer: Writer;
  readonly #deleter: Deleter;
  readonly #tokens: TokenRequests;
  readonly #nowMs: () => number;
  readonly #knownEvents = new Map<string, { namespace: string; name: string }>();

  constructor(
    registry: Registry,
    store: Store,
    writer: Writer,
    deleter: Deleter,
    tokens: TokenRequests,
    nowMs: () => number,
  ) {
    this.#registry = registry;
    this.#store = store;
    this.#writer = writer;
    this.#deleter = deleter;
    this.#tokens = tokens;
    this.#nowMs = nowMs;
  }

  get(resource: string, namespace: string | undefined, name: string): KubeObject | undefined {
    const type = this.#type(resource);
    const stored = this.#store.get(storeKey(type), type.isNamespaced ? namespace : undefined, name);
    return stored === undefined ? undefined : fromStored(type, stored);
  }

  list(resource: string, namespace?: string): readonly KubeObject[] {
    const type = this.#type(resource);
    return this.#store.list(storeKey(type), namespace).map((stored) => fromStored(type, stored));
  }

  async create(resource: string, object: NewObject): Promise<KubeObject> {
    const type = this.#type(resource);
    const namespace = type.isNamespaced ? (object.metadata.namespace ?? 'default') : undefined;
    return this.#writer.create(type, namespace, { value: plain(object) }, options);
  }

  async update(
    resource: string,
    object: KubeObject,
    subresource?: 'status' | 'scale' | 'finalize',
  ): Promise<KubeObject> {
    const { namespace, name } = object.metadata;
    const target = this.#target(resource, namespace, name, subresource);
    if (subresource === 'scale') {
      const revise = (current: KubeObject): JsonObject => withScale(target.type, current, object);
      return toScale(target.type, await this.#writer.revise(target, revise, options));
    }
    return this.#writer.update(target, { value: plain(object) }, options);
  }

  async patch(
    resource: string,
    namespace: string | undefined,
    name: string,
    type: PatchType,
    body: unknown,
    subresource?: string,
  ): Promise<KubeObject> {
    const target = this.#target(resource, namespace, name, subresource);
    const patch = { kind: type, body: plain(body) };
    if (resource === 'pods' && subresource === 'binding') return bindPod(this.#writer, target, body, options);
    return this.#writer.patch(target, patch, options);
  }

  async delete(
    resource: string,
    namespace: string | undefined,
    name: string,
    { gracePeriodSeconds, propagationPolicy, uid }: DeleteOptions = {},
  ): Promise<void> {
    const deletion = {
      ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
      ...(propagationPolicy === undefined ? {} : { policy: propagationPolicy }),
      ...(uid === undefined ? {} : { uid }),
    };
    await this.#deleter.delete(this.#target(resource, namespace, name), deletion, options);
  }

  watch(resource: string, handler: WatchHandler): Disposable {
    const type = this.#type(resource);
    let isActive = true;
    const subscription = this.#store.subscribe(storeKey(type), ({ type: change, object, old }) => {
      if (!isActive) return;
      if (change === 'DELETED') handler.delete(fromStored(type, object));
      else handler.apply(fromStored(type, object), old === undefined ? undefined : fromStored(type, old));
    });
    for (const stored of this.#store.list(storeKey(type))) handler.apply(fromStored(type, stored));
    return {
      [Symbol.dispose]: () => {
        isActive = false;
        subscription[Symbol.dispose]();
      },
    };
  }

  async createToken(
    namespace: string,
    serviceAccount: string,
    spec: TokenSpec,
  ): Promise<{ token: string; expirationTimestamp: string }> {
    return this.#tokens.issue(namespace, serviceAccount, {
      audiences: spec.audiences,
      expirationSeconds: spec.expirationSeconds,
      ...(spec.pod === undefined ? {} : { bound: { kind: 'Pod', ...spec.pod } as const }),
    });
  }

  event(involved: KubeObject, type: 'Normal' | 'Warning', reason: string, message: string, source: string): void {
    // An event tells what happened; that it cannot be told (namespace going away) is nothing to act on.
    this.#recordEvent(involved, type, reason, message, source).catch((error: unknown) => void asStatusError(error));
  }

  async #recordEvent(
    involved: KubeObject,
    type: string,
    reason: string,
    message: string,
    source: string,
  ): Promise<void> {
    const now = timestamp(this.#nowMs());
    const { uid } = involved.metadata;
    const identity = createHash('sha256')
      .update(JSON.stringify([uid, type, reason, message, source]))
      .digest('hex');
    const known = this.#knownEvents.get(identity);
    if (known !== undefined && this.#store.get('events', known.namespace, known.name) !== undefined) {
      const target = this.#target('events', known.namespace, known.name);
      await this.#writer.revise(target, (current) => counted(current, now), options);
      return;
    }
    const event = newEvent(involved, { type, reason, message, source, now });
    this.#knownEvents.set(identity, event.metadata);
    const [oldest] = this.#knownEvents.keys();
    if (this.#knownEvents.size > KNOWN_EVENTS_MAX && oldest !== undefined) this.#knownEvents.delete(oldest);
    await this.#writer.create(this.#type('events'), event.metadata.namespace, { value: event }, options);
  }

  #type(resource: string): ResourceType {
    const type = this.#registry.byKey(resource);
    if (type === undefined) throw unknownResource();
    return type;
  }

  #target(resource: string, namespace: string | undefined, name: string, subresource?: string): ObjectTarget {
    const type = this.#type(resource);
    return {
      type,
      name,
      ...(type.isNamespaced && namespace !== undefined ? { namespace } : {}),
      ...(subresource === undefined ? {} : { subresource }),
    };
  }
}

/** A copy that is JSON and nothing else: the caller keeps its object, and undefined fields are gone. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

function counted(event: KubeObject, now: string): KubeObject {
  const count = typeof event['count'] === 'number' ? event['count'] : 1;
  return { ...event, count: count + 1, lastTimestamp: now };
}

type Occurrence = { type: string; reason: string; message: string; source: string; now: string };

function newEvent(
  involved: KubeObject,
  { type, reason, message, source, now }: Occurrence,
): {
  metadata: { namespace: string; name: string };
  [field: string]: unknown;
} {
  const { name, namespace = 'default', uid, resourceVersion } = involved.metadata;
  const isNamespaced = involved.metadata.namespace !== undefined;
  const suffix = Date.now().toString(16) + randomSuffix();
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { namespace, name: `${name}.${suffix}` },
    involvedObject: {
      apiVersion: involved.apiVersion,
      kind: involved.kind,
      name,
      ...(isNamespaced ? { namespace } : {}),
      uid,
      resourceVersion,
    },
    type,
    reason,
    message,
    source: { component: source },
    reportingComponent: source,
    reportingInstance: '',
    firstTimestamp: now,
    lastTimestamp: now,
    eventTime: null,
    count: 1,
  };
}
