import { TRUST_ROOTS_KEY } from '#config/names.ts';
import type { ConfigMap } from '#k8s/resources/config-map.ts';
import type { ResourceIndex } from '#k8s/resource-index.ts';

/** The trust anchors that new proxies are given. Kept when the ConfigMap goes away: old anchors are better than none. */
export class TrustAnchors implements ResourceIndex<ConfigMap> {
  #pem: string | undefined;

  /** PEM text, or undefined as long as the identity process has not made an anchor. */
  get pem(): string | undefined {
    return this.#pem;
  }

  apply(configMap: ConfigMap): void {
    const pem = configMap.data[TRUST_ROOTS_KEY];
    if (pem !== undefined && pem.includes('BEGIN CERTIFICATE')) this.#pem = pem;
  }

  delete(): void {}

  reset(live: readonly ConfigMap[]): void {
    for (const configMap of live) this.apply(configMap);
  }
}
