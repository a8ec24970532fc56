import { systemClock, type Clock } from '#runtime/clock.ts';
import type { KubeClient } from './client.ts';
import { asNumber, asObject, asList, asText, isObject, type JsonObject } from './json.ts';
import { KubeError } from './kube-error.ts';
import type { ResourceIndex, ResourceKind } from './resource-index.ts';
import { parseMetadata } from './resources/metadata.ts';
import { readLines } from './watch-lines.ts';

export type InformerOptions<R> = {
  readonly client: KubeClient;
  readonly kind: ResourceKind<R>;
  readonly index: ResourceIndex<R>;
  readonly namespace?: string; // default: all
  readonly fieldSelector?: string;
  readonly labelSelector?: string;
  readonly clock?: Clock;
  readonly random?: () => number; // uniform in [0, 1)
  /** Told of every step, for metrics and logs. A failure is retried; it is not fatal. */
  readonly observe?: (step: InformerStep) => void;
};

export type InformerStep =
  | { readonly kind: 'list'; readonly count: number }
  | { readonly kind: 'watch' } // a watch was opened
  | { readonly kind: 'event' }
  | { readonly kind: 'failure'; readonly error: unknown; readonly delayMs: number };

const PAGE_SIZE = 500;

/** The server is asked to end a watch after this time, so that a connection that died silently is noticed. */
const WATCH_SECONDS = 120;

/** If nothing ended the watch this long after its time, the connection is dead. */
const WATCH_GRACE_MS = 15_000;

const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 5_000;

/** A watch that ends sooner counts as a failure, or a server that ends each one at once would be asked in a loop. */
const SHORT_WATCH_MS = 1_000;

/** After so many failures in a row the position in the stream of changes is given up and everything is listed again. */
const FAILURES_BEFORE_RELIST = 3;

/**
 * Keeps an index equal to what the API server has: lists, watches from there, goes on after interruptions where it was,
 * and lists again when that is not possible. Never gives up; holds no copy and no queue of its own.
 */
export class Informer<R> implements Disposable {
  readonly #options: InformerOptions<R>;
  readonly #clock: Clock;
  readonly #closed = new AbortController();
  #resourceVersion: string | undefined;
  #failures = 0;
  #isSynced = false;
  #isStarted = false;
  #wake: () => void = () => {};

  constructor(options: InformerOptions<R>) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  get plural(): string {
    return this.#options.kind.plural;
  }

  /** The index has once been equal to the server. */
  get isSynced(): boolean {
    return this.#isSynced;
  }

  start(): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    void this.#run(); // never rejects
  }

  [Symbol.dispose](): void {
    this.#closed.abort();
    this.#wake();
  }

  async #run(): Promise<void> {
    while (!this.#closed.signal.aborted) {
      const startedMs = this.#clock.now();
      try {
        if (this.#resourceVersion === undefined) await this.#list();
        await this.#watch();
        if (this.#clock.now() - startedMs >= SHORT_WATCH_MS) continue;
        await this.#failed(new Error('the watch ended at once'));
      } catch (error) {
        if (error instanceof KubeError && error.isExpired) this.#resourceVersion = undefined;
        await this.#failed(error);
      }
    }
  }

  async #failed(error: unknown): Promise<void> {
    if (this.#closed.signal.aborted) return;
    this.#failures += 1;
    if (this.#failures % FAILURES_BEFORE_RELIST === 0) this.#resourceVersion = undefined;
    const random = (this.#options.random ?? Math.random)();
    const delayMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(this.#failures - 1, 20)) * (0.5 + random / 2);
    this.#options.observe?.({ kind: 'failure', error, delayMs });
    await new Promise<void>((resolve) => {
      const timer = this.#clock.after(delayMs, resolve);
      this.#wake = () => {
        timer[Symbol.dispose]();
        resolve();
      };
    });
  }

  async #list(): Promise<void> {
    const live: R[] = [];
    let page: Readonly<Record<string, string>> = {};
    let metadata: JsonObject;
    do {
      const list = asObject(
        await this.#options.client.request({
          method: 'GET',
          path: this.#path,
          query: { ...this.#selectors, limit: String(PAGE_SIZE), ...page },
          signal: this.#closed.signal,
        }),
      );
      for (const item of asList(list['items'])) {
        const resource = this.#options.kind.parse(item);
        if (resource !== undefined) live.push(resource);
      }
      metadata = asObject(list['metadata']);
      page = { continue: asText(metadata['continue']) ?? '' };
    } while (page['continue'] !== '');
    const resourceVersion = asText(metadata['resourceVersion']);
    if (resourceVersion === undefined)
      throw new KubeError(`list of ${this.plural} has no resource version`, { reason: 'InvalidAnswer' });
    this.#resourceVersion = resourceVersion;
    this.#failures = 0;
    this.#options.index.reset(live);
    this.#isSynced = true;
    this.#options.observe?.({ kind: 'list', count: live.length });
  }

  /** @returns when the server ended the watch in order */
  async #watch(): Promise<void> {
    const jitter = 1 + (this.#options.random ?? Math.random)() / 4;
    const seconds = Math.round(WATCH_SECONDS * jitter);
    const dead = new AbortController();
    using _timer = this.#clock.after(seconds * 1000 + WATCH_GRACE_MS, () => dead.abort());
    const signal = AbortSignal.any([this.#closed.signal, dead.signal]);
    const body = await this.#options.client.stream({
      path: this.#path,
      query: {
        ...this.#selectors,
        watch: 'true',
        allowWatchBookmarks: 'true',
        timeoutSeconds: String(seconds),
        resourceVersion: this.#resourceVersion ?? '',
      },
      signal,
    });
    try {
      this.#options.observe?.({ kind: 'watch' });
      for await (const line of readLines(body)) {
        if (this.#closed.signal.aborted) return;
        this.#applyLine(line);
        this.#failures = 0;
      }
    } finally {
      body.destroy();
    }
  }

  #applyLine(line: string): void {
    const event = parseEvent(line);
    if (event.type === 'ERROR') throw statusError(event.object);
    const { index, kind } = this.#options;
    const resourceVersion = asText(asObject(event.object['metadata'])['resourceVersion']);
    if (resourceVersion === undefined || resourceVersion === '')
      throw lostPosition(`a ${event.type} event without resource version`);
    switch (event.type) {
      case 'BOOKMARK':
        break;
      case 'DELETED': {
        const metadata = parseMetadata(event.object);
        if (metadata !== undefined) index.delete(metadata.namespace, metadata.name);
        break;
      }
      case 'ADDED':
      case 'MODIFIED': {
        const resource = kind.parse(event.object);
        if (resource !== undefined) index.apply(resource);
        break;
      }
      default:
        throw lostPosition(`an event of unknown type "${event.type}"`);
    }
    this.#resourceVersion = resourceVersion;
    this.#options.observe?.({ kind: 'event' });
  }

  get #path(): string {
    const { kind, namespace } = this.#options;
    const resource = kind.resource ?? kind.plural;
    return namespace === undefined
      ? `${kind.apiPath}/${resource}`
      : `${kind.apiPath}/namespaces/${namespace}/${resource}`;
  }

  get #selectors(): Readonly<Record<string, string>> {
    const { fieldSelector, labelSelector } = this.#options;
    return { ...(fieldSelector && { fieldSelector }), ...(labelSelector && { labelSelector }) };
  }
}

function parseEvent(line: string): { readonly type: string; readonly object: JsonObject } {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw lostPosition('a line that is not JSON');
  }
  const { type, object } = asObject(value);
  if (typeof type !== 'string' || !isObject(object)) throw lostPosition('a line that is not an event');
  return { type, object };
}

/** The stream cannot be believed any more: what we know is replaced by a new list. */
function lostPosition(what: string): KubeError {
  return new KubeError(`the watch sent ${what}`, { status: 410, reason: 'InvalidAnswer' });
}

function statusError(status: JsonObject): KubeError {
  return new KubeError(asText(status['message']) ?? 'the watch ended with an error', {
    status: asNumber(status['code']) ?? 500,
    reason: asText(status['reason']) ?? 'Unknown',
  });
}
