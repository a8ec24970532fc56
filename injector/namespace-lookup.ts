import type { KubeClient } from '#k8s/client.ts';
import { NAMESPACES, UNKNOWN_NAMESPACE, type Namespace, type Namespaces } from './namespaces.ts';

const ANSWER_MS_MAX = 1_000; // the API server waits 5 s for the webhook, and the pod waits with it
const REQUESTS_MAX = 32; // at the same time, one per name

export type NamespaceLookupOptions = {
  readonly client: Pick<KubeClient, 'request'>;
  readonly seen: Namespaces;
  readonly onFailure: (name: string, error: unknown) => void;
  readonly answerMsMax?: number;
};

/**
 * What a namespace says, also when the watch has not shown it yet: a pod that is created right after its namespace is
 * often faster. Then the API server is asked.
 */
export class NamespaceLookup {
  readonly #options: NamespaceLookupOptions;
  readonly #running = new Map<string, Promise<Namespace>>();

  constructor(options: NamespaceLookupOptions) {
    this.#options = options;
  }

  /** Never rejects: a namespace that cannot be read in time says nothing. */
  find(name: string): Promise<Namespace> {
    const { seen, onFailure } = this.#options;
    const known = name === '' ? UNKNOWN_NAMESPACE : seen.find(name);
    if (known !== undefined) return Promise.resolve(known);
    const running = this.#running.get(name);
    if (running !== undefined) return running;
    if (this.#running.size >= REQUESTS_MAX) {
      onFailure(name, new Error(`${REQUESTS_MAX} other namespaces are being asked for already`));
      return Promise.resolve(UNKNOWN_NAMESPACE);
    }
    const answer = this.#ask(name)
      .catch((error: unknown) => {
        onFailure(name, error);
        return UNKNOWN_NAMESPACE;
      })
      .finally(() => this.#running.delete(name));
    this.#running.set(name, answer);
    return answer;
  }

  async #ask(name: string): Promise<Namespace> {
    const object = await this.#options.client.request({
      method: 'GET',
      path: `${NAMESPACES.apiPath}/${NAMESPACES.plural}/${encodeURIComponent(name)}`,
      signal: AbortSignal.timeout(this.#options.answerMsMax ?? ANSWER_MS_MAX),
    });
    return NAMESPACES.parse(object) ?? UNKNOWN_NAMESPACE;
  }
}
