import { systemClock, type Clock } from '#runtime/clock.ts';
import type { KubeClient } from './client.ts';
import { DriftCheck } from './drift-check.ts';
import type { Listed } from './drift.ts';
import { HeldVersions, versionOf } from './held-versions.ts';
import { asNumber, asObject, asText, isObject, type JsonObject } from './json.ts';
import { KubeError } from './kube-error.ts';
import { listAll } from './list.ts';
import type { ResourceIndex, ResourceKind } from './resource-index.ts';
import { parseMetadata } from './resources/metadata.ts';
import { RetryPace } from './retry-pace.ts';
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
  /** The index was compared with the server. What had drifted, `namespace/name`, is listed again. */
  | { readonly kind: 'check'; readonly drifted: readonly string[] }
  | { readonly kind: 'failure'; readonly error: unknown; readonly delayMs: number };

/** The server is asked to end a watch after this time, so that a connection that died silently is noticed. */
const WATCH_SECONDS = 120;

/** If nothing ended the watch this long after its time, the connection is dead. */
const WATCH_GRACE_MS = 15_000;

/** A watch that ends sooner counts as a failure, or a server that ends each one at once would be asked in a loop. */
const SHORT_WATCH_MS = 1_000;

/**
 * Keeps an index equal to what the API server has: lists, watches from there, goes on after interruptions where it was,
 * and lists again when that is not possible, or when a comparison with the server shows that a change was lost. Never gives
 * up; holds no queue, and of each object its version alone.
 */
export class Informer<R> implements Disposable {
  readonly #options: InformerOptions<R>;
  readonly #clock: Clock;
  readonly #closed = new AbortController();
  readonly #held = new HeldVersions();
  #check: DriftCheck | undefined;
  #drifted: AbortController | undefined; // ends the watch that runs
  readonly #pace = new RetryPace();
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
    this.#check?.[Symbol.dispose]();
    this.#wake();
  }

  async #run(): Promise<void> {
    while (!this.#closed.signal.aborted) {
      const startedMs = this.#clock.now();
      try {
        if (this.#held.position === undefined) await this.#list();
        await this.#watch();
        const isShort = this.#clock.now() - startedMs < SHORT_WATCH_MS;
        if (isShort && this.#held.position !== undefined) await this.#failed(new Error('the watch ended at once'));
      } catch (error) {
        await this.#failed(error);
      }
    }
  }

  async #failed(error: unknown): Promise<void> {
    if (this.#closed.signal.aborted) return;
    const { delayMs, isRelist } = this.#pace.failed(error, this.#random());
    if (isRelist) this.#held.losePosition();
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
    const versions = new Map<string, string>();
    const position = await this.#listAll(false, (item) => {
      const resource = this.#options.kind.parse(item);
      if (resource !== undefined) live.push(resource);
      const held = versionOf(item);
      if (held !== undefined) versions.set(held.key, held.version);
    });
    if (this.#closed.signal.aborted) return;
    this.#held.reset(versions, position);
    this.#pace.listed(this.#clock.now());
    this.#options.index.reset(live);
    this.#isSynced = true;
    this.#check ??= this.#startCheck();
    this.#options.observe?.({ kind: 'list', count: live.length });
  }

  /** @returns the position of the list */
  #listAll(isMetadataOnly: boolean, each: (object: JsonObject) => void): Promise<string> {
    const request = { path: this.#path, selectors: this.#selectors, isMetadataOnly, signal: this.#closed.signal };
    return listAll(this.#options.client, request, each);
  }

  #startCheck(): DriftCheck {
    return new DriftCheck({
      clock: this.#clock,
      random: () => this.#random(),
      list: async (): Promise<Listed> => {
        const versions = new Map<string, string>();
        const position = await this.#listAll(true, (item) => {
          const listed = versionOf(item);
          if (listed !== undefined) versions.set(listed.key, listed.version);
        });
        return { versions, position };
      },
      held: () => this.#held.byKey,
      onChecked: (drifted) => {
        this.#options.observe?.({ kind: 'check', drifted });
        if (drifted.length === 0) return;
        this.#held.losePosition();
        this.#drifted?.abort();
      },
      onFailure: (error, delayMs) => this.#options.observe?.({ kind: 'failure', error, delayMs }),
    });
  }

  #random(): number {
    return (this.#options.random ?? Math.random)();
  }

  /** @returns when the server ended the watch in order, or a drift was found */
  async #watch(): Promise<void> {
    const jitter = 1 + this.#random() / 4;
    const seconds = Math.round(WATCH_SECONDS * jitter);
    const dead = new AbortController();
    using _timer = this.#clock.after(seconds * 1000 + WATCH_GRACE_MS, () => dead.abort());
    const drifted = (this.#drifted = new AbortController());
    const signal = AbortSignal.any([this.#closed.signal, dead.signal, drifted.signal]);
    const body = await this.#options.client.stream({
      path: this.#path,
      query: {
        ...this.#selectors,
        watch: 'true',
        allowWatchBookmarks: 'true',
        timeoutSeconds: String(seconds),
        resourceVersion: this.#held.position ?? '',
      },
      signal,
    });
    try {
      this.#options.observe?.({ kind: 'watch' });
      for await (const line of readLines(body)) {
        if (this.#closed.signal.aborted) return;
        this.#applyLine(line);
        this.#pace.heard();
      }
    } catch (error) {
      if (!drifted.signal.aborted) throw error;
    } finally {
      body.destroy();
    }
  }

  #applyLine(line: string): void {
    const event = parseEvent(line);
    if (event.type === 'ERROR') throw statusError(event.object);
    const { index, kind } = this.#options;
    const { type, object } = event;
    const position = asText(asObject(object['metadata'])['resourceVersion']);
    if (position === undefined || position === '') throw lostPosition(`a ${type} event without resource version`);
    if (type === 'BOOKMARK') this.#held.advance(position);
    else if (type !== 'ADDED' && type !== 'MODIFIED' && type !== 'DELETED')
      throw lostPosition(`an event of unknown type "${type}"`);
    else {
      const held = versionOf(object);
      const verdict = held === undefined ? 'skip' : this.#held.take(held.key, held.version, type === 'DELETED');
      if (verdict === 'lost') throw lostPosition(`a ${type} event of ${held?.key} that is older than one before it`);
      if (verdict === 'apply') apply(index, kind, type, object);
    }
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

function apply<R>(index: ResourceIndex<R>, kind: ResourceKind<R>, type: string, object: JsonObject): void {
  if (type === 'DELETED') {
    const metadata = parseMetadata(object);
    if (metadata !== undefined) index.delete(metadata.namespace, metadata.name);
    return;
  }
  const resource = kind.parse(object);
  if (resource !== undefined) index.apply(resource);
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
