import type { ResourceIndex } from '#k8s/resource-index.ts';
import type { ServiceAccount } from '#k8s/resources/service-account.ts';

/** Every namespace has it, without anybody creating it. */
const DEFAULT = 'default';

/** Names of ServiceAccounts by namespace: as many as the cluster has. */
export class ServiceAccounts implements ResourceIndex<ServiceAccount> {
  readonly #names = new Map<string, Set<string>>();
  readonly #listeners: (() => void)[] = [];
  #isComplete = false; // those of a whole cluster have been listed

  /** @returns undefined where nobody knows: of a namespace without any, unless they are all that the cluster has */
  has(namespace: string, name: string): boolean | undefined {
    const names = this.#names.get(namespace);
    if (names === undefined) return this.#isComplete ? false : undefined;
    return name === DEFAULT || names.has(name);
  }

  /** Whether there is a namespace: each has at least one. @returns undefined where nobody knows */
  hasNamespace(namespace: string): boolean | undefined {
    return this.#names.has(namespace) || (this.#isComplete ? false : undefined);
  }

  /** Told when one comes or goes. Listeners must not throw. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  apply(account: ServiceAccount): void {
    if (this.#add(account)) this.#notify();
  }

  delete(namespace: string, name: string): void {
    const names = this.#names.get(namespace);
    if (names?.delete(name) !== true) return;
    if (names.size === 0) this.#names.delete(namespace);
    this.#notify();
  }

  reset(live: readonly ServiceAccount[]): void {
    this.#names.clear();
    for (const account of live) this.#add(account);
    this.#isComplete = true;
    this.#notify();
  }

  #add({ namespace, name }: ServiceAccount): boolean {
    const names = this.#names.get(namespace) ?? new Set();
    this.#names.set(namespace, names);
    return names.size !== names.add(name).size;
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }
}
