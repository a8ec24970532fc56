import type { ServerResponse } from 'node:http';
import type { KubeObject } from './object.ts';
import { apiVersionOf, type ResourceType } from './registry.ts';
import { expired } from './status-error.ts';
import type { ListOptions } from './list-options.ts';
import { isSelected, type Selection } from './selection.ts';
import type { Store, StoreEvent } from './store.ts';
import { fromStored, storeKey } from './stored-form.ts';

const BUFFERED_BYTES_MAX = 4 * 1024 * 1024; // a reader further behind is cut off and has to list again
const BOOKMARK_PERIOD_MS = 60_000;
const TIMEOUT_MS_MIN = 30 * 60_000;
const TIMEOUT_MS_MAX = 60 * 60_000;
const TIMEOUT_MS_CEILING = 24 * 3600_000; // timers take no more than 2^31 ms

type WatchEventType = 'ADDED' | 'MODIFIED' | 'DELETED';

/** How one object is shown on this stream: as it is, as a Table, or as its metadata only. */
export type WatchEncoder = {
  object(object: KubeObject): unknown;
  bookmark(resourceVersion: string, annotations: Record<string, string> | undefined): unknown;
};

export function plainEncoder(type: ResourceType): WatchEncoder {
  return {
    object: (object) => object,
    bookmark: (resourceVersion, annotations) => ({
      kind: type.kind,
      apiVersion: apiVersionOf(type),
      metadata: { resourceVersion, creationTimestamp: null, ...(annotations === undefined ? {} : { annotations }) },
    }),
  };
}

/** One watch over HTTP: one JSON text per line, until the timeout, the client's end or the server's. */
export class WatchStream implements Disposable {
  readonly #response: ServerResponse;
  readonly #type: ResourceType;
  readonly #store: Store;
  readonly #selection: Selection;
  readonly #encoder: WatchEncoder;
  readonly #timers: NodeJS.Timeout[] = [];
  #subscription: Disposable | undefined;

  constructor(response: ServerResponse, store: Store, type: ResourceType, selection: Selection, encoder: WatchEncoder) {
    this.#response = response;
    this.#store = store;
    this.#type = type;
    this.#selection = selection;
    this.#encoder = encoder;
  }

  /** Sends the headers and what has happened, then follows. */
  start(options: ListOptions): void {
    this.#response.on('close', () => this[Symbol.dispose]());
    // A stream that breaks is the client's to reopen; `close` follows.
    this.#response.on('error', () => undefined);
    this.#response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-cache, private' });
    this.#response.flushHeaders();
    if (!this.#replay(options)) return;
    this.#subscription = this.#store.subscribe(storeKey(this.#type), (event) => this.#send(event));
    this.#startTimers(options);
  }

  /** Ends the stream in order. */
  [Symbol.dispose](): void {
    this.#subscription?.[Symbol.dispose]();
    this.#subscription = undefined;
    for (const timer of this.#timers.splice(0)) clearTimeout(timer);
    if (!this.#response.writableEnded) this.#response.end();
  }

  /** @returns whether the stream goes on */
  #replay(options: ListOptions): boolean {
    const { resourceVersion } = options;
    const key = storeKey(this.#type);
    if (resourceVersion === undefined || resourceVersion === 0 || options.sendsInitialEvents === true) {
      for (const stored of this.#store.list(key, this.#selection.namespace)) this.#sendInitial(stored);
      if (options.sendsInitialEvents === true) this.#bookmark({ 'k8s.io/initial-events-end': 'true' });
      return true;
    }
    // A version of the future is of another life of this server: the client has to list again, as with one too old.
    const missed = resourceVersion > this.#store.revision ? undefined : this.#store.since(key, resourceVersion);
    if (missed === undefined) {
      const oldest = Math.min(this.#store.oldestRevision(key), this.#store.revision);
      const status = expired(`too old resource version: ${resourceVersion} (${oldest})`).toStatus();
      this.#write('ERROR', status);
      this[Symbol.dispose]();
      return false;
    }
    for (const event of missed) this.#send(event);
    return true;
  }

  #startTimers(options: ListOptions): void {
    const timeoutMs = Math.min(
      options.timeoutMs ?? TIMEOUT_MS_MIN + Math.random() * (TIMEOUT_MS_MAX - TIMEOUT_MS_MIN),
      TIMEOUT_MS_CEILING,
    );
    const finish = (): void => {
      if (options.hasBookmarks) this.#bookmark(undefined);
      this[Symbol.dispose]();
    };
    this.#timers.push(setTimeout(finish, timeoutMs).unref());
    if (!options.hasBookmarks) return;
    this.#timers.push(setInterval(() => this.#bookmark(undefined), BOOKMARK_PERIOD_MS).unref());
  }

  #sendInitial(stored: KubeObject): void {
    const object = fromStored(this.#type, stored);
    if (isSelected(this.#selection, object)) this.#write('ADDED', this.#encoder.object(object));
  }

  #send(event: StoreEvent): void {
    const object = fromStored(this.#type, event.object);
    const old = event.old === undefined ? undefined : fromStored(this.#type, event.old);
    const is = event.type !== 'DELETED' && isSelected(this.#selection, object);
    const was = old !== undefined && isSelected(this.#selection, old);
    if (is) this.#write(eventTypeOf(event, was), this.#encoder.object(object));
    else if (was) this.#write('DELETED', this.#encoder.object(lastMatch(event, object, old)));
  }

  #bookmark(annotations: Record<string, string> | undefined): void {
    this.#write('BOOKMARK', this.#encoder.bookmark(String(this.#store.revision), annotations));
  }

  #write(type: WatchEventType | 'BOOKMARK' | 'ERROR', object: unknown): void {
    if (this.#response.writableEnded || this.#response.destroyed) return;
    this.#response.write(`${JSON.stringify({ type, object })}\n`);
    if (this.#response.writableLength > BUFFERED_BYTES_MAX) this.#response.destroy();
  }
}

function eventTypeOf(event: StoreEvent, wasSelected: boolean): WatchEventType {
  return event.type === 'MODIFIED' && !wasSelected ? 'ADDED' : event.type;
}

/** What a client is told it lost: the last state it could see, with the version of the change that took it away. */
function lastMatch(event: StoreEvent, object: KubeObject, old: KubeObject): KubeObject {
  if (event.type === 'DELETED') return object;
  const { resourceVersion } = object.metadata;
  return { ...old, metadata: { ...old.metadata, resourceVersion } };
}
