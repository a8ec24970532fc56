import { credentials, type ClientReadableStream, type ServiceError } from '@grpc/grpc-js';
import { TapClient, type ObserveRequest_Match, type TapEvent } from '#api/gen/tap.ts';
import type { Pod } from '../metrics-api/pods.ts';
import { tapJson, type TapJson } from './event.ts';

const WINDOW_MS = 1000;
const RETRY_MS = 1000;

/** Key and certificate of the one that may tap, PEM. */
export type TapIdentity = { readonly key: string; readonly cert: string; readonly ca: string };

export type TapQuery = {
  readonly pods: readonly Pod[];
  readonly matches: readonly ObserveRequest_Match[]; // all must hold
  readonly maxRps: number; // over all pods
  readonly hasHeaders: boolean;
};

export type TapSink = {
  readonly event: (event: TapJson) => void;
  /** Something about one pod that a person should know. */
  readonly note: (text: string) => void;
};

export type TapEnvironment = {
  readonly identity: TapIdentity;
  readonly identityOf: (pod: Pod) => string;
  readonly labelsOf: (ip: string) => Readonly<Record<string, string>>;
};

/** Taps the proxies of pods until it is disposed of: one call per pod, begun anew each second when its share is used up. */
export class Observation implements Disposable {
  readonly #query: TapQuery;
  readonly #sink: TapSink;
  readonly #environment: TapEnvironment;
  readonly #clients: TapClient[] = [];
  readonly #calls = new Set<ClientReadableStream<TapEvent>>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #bases = 0;
  #isOver = false;

  constructor(query: TapQuery, sink: TapSink, environment: TapEnvironment) {
    this.#query = query;
    this.#sink = sink;
    this.#environment = environment;
    for (const pod of query.pods) this.#start(pod);
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    for (const timer of this.#timers) clearTimeout(timer);
    for (const call of this.#calls) call.cancel();
    for (const client of this.#clients) client.close();
  }

  #start(pod: Pod): void {
    const { identity, identityOf } = this.#environment;
    if (pod.tapTarget === undefined) return;
    const { address, port } = pod.tapTarget;
    const client = new TapClient(
      address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`,
      credentials.createSsl(Buffer.from(identity.ca), Buffer.from(identity.key), Buffer.from(identity.cert)),
      {
        'grpc.ssl_target_name_override': identityOf(pod), // its certificate must be the pod's own
        'grpc.use_local_subchannel_pool': 1,
        'grpc.enable_http_proxy': 0,
        'grpc.service_config_disable_resolution': 1,
      },
    );
    this.#clients.push(client);
    this.#observe(pod, client, '');
  }

  #observe(pod: Pod, client: TapClient, lastNote: string): void {
    if (this.#isOver) return;
    const { pods, maxRps, matches, hasHeaders } = this.#query;
    const startedMs = performance.now();
    const base = ++this.#bases;
    const call = client.observe({
      limit: Math.max(1, Math.floor(maxRps / pods.length)),
      match: { match: { $case: 'all', value: { matches: [...matches] } } },
      extract: hasHeaders
        ? { extract: { $case: 'http', value: { extract: { $case: 'headers', value: {} } } } }
        : undefined,
    });
    this.#calls.add(call);
    call.on('data', (event: TapEvent) => this.#sink.event(tapJson(event, base, this.#environment.labelsOf)));
    let note = lastNote;
    const over = (delayMs: number): void => {
      if (!this.#calls.delete(call) || this.#isOver) return;
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        this.#observe(pod, client, note);
      }, delayMs);
      this.#timers.add(timer);
    };
    call.on('end', () => over(Math.max(0, startedMs + WINDOW_MS - performance.now())));
    call.on('error', (error: ServiceError) => {
      note = `pod ${pod.key} cannot be tapped: ${error.details}`;
      if (!this.#isOver && note !== lastNote) this.#sink.note(note);
      over(RETRY_MS);
    });
  }
}
