import { TRUST_ROOTS_KEY } from '#config/names.ts';
import type { ConfigMap } from '#k8s/resources/config-map.ts';
import type { ResourceIndex } from '#k8s/resource-index.ts';

/** Tells when the published trust anchors are no longer what was published: somebody deleted or changed the ConfigMap. */
export class PublishedBundle implements ResourceIndex<ConfigMap> {
  readonly #expected: () => string | undefined;
  readonly #onChange: () => void;

  /** @param expected  PEM text of the anchors; undefined until there are some */
  constructor(expected: () => string | undefined, onChange: () => void) {
    this.#expected = expected;
    this.#onChange = onChange;
  }

  apply(configMap: ConfigMap): void {
    this.#compare(configMap.data[TRUST_ROOTS_KEY]);
  }

  delete(): void {
    this.#compare(undefined);
  }

  reset(live: readonly ConfigMap[]): void {
    this.#compare(live[0]?.data[TRUST_ROOTS_KEY]);
  }

  #compare(published: string | undefined): void {
    const expected = this.#expected();
    if (expected !== undefined && published !== expected) this.#onChange();
  }
}
