import type { Pod } from './pods.ts';

/** The pods of the cluster as an informer keeps them. */
export class PodIndex {
  #byKey = new Map<string, Pod>();

  get all(): readonly Pod[] {
    return [...this.#byKey.values()];
  }

  apply(pod: Pod): void {
    this.#byKey.set(pod.key, pod);
  }

  delete(namespace: string, name: string): void {
    this.#byKey.delete(`${namespace}/${name}`);
  }

  reset(live: readonly Pod[]): void {
    this.#byKey = new Map(live.map((pod) => [pod.key, pod]));
  }
}
