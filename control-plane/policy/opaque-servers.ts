import { isDeepStrictEqual } from 'node:util';
import type { PolicyContext, ServerPolicy } from '../dialects/linkerd-policy.ts';
import { readServers, selectsPort } from '../dialects/linkerd-servers.ts';
import type { Workload } from '../dialects/workload.ts';
import type { PolicyStore } from './policy-store.ts';

/**
 * Servers that declare ports to carry raw bytes, for those who send there: what the server side does not look into, the client
 * side must not change. As large as there are namespaces with such Servers.
 */
export class OpaqueServers {
  readonly #policies: PolicyStore;
  readonly #context: PolicyContext;
  readonly #byNamespace = new Map<string, readonly ServerPolicy[]>();
  readonly #listeners: ((namespace: string) => void)[] = [];

  constructor(policies: PolicyStore, context: PolicyContext) {
    this.#policies = policies;
    this.#context = context;
    policies.onChange((namespace) => this.#look(namespace));
  }

  isOpaque(workload: Workload, port: number): boolean {
    const servers = this.#byNamespace.get(workload.namespace) ?? [];
    return servers.find((policy) => selectsPort(policy, workload, port))?.protocol === 'opaque';
  }

  /** Told of each namespace in which other ports are opaque now. Listeners must not throw; they stay as long as this. */
  onChange(listener: (namespace: string) => void): void {
    this.#listeners.push(listener);
  }

  #look(namespace: string): void {
    const before = this.#byNamespace.get(namespace) ?? [];
    const all = readServers(namespace, this.#policies, this.#context).map(({ policy }) => policy);
    // Others matter only where they come before an opaque one.
    const now = all.some(({ protocol }) => protocol === 'opaque') ? all : [];
    if (isDeepStrictEqual(before, now)) return;
    if (now.length > 0) this.#byNamespace.set(namespace, now);
    else this.#byNamespace.delete(namespace);
    for (const listener of this.#listeners) listener(namespace);
  }
}
