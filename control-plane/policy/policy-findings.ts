import { formatResourceRef } from '#model/resource-ref.ts';
import type { Clock } from '#runtime/clock.ts';
import { findingsOf } from '../dialects/policy-problems.ts';
import { POLICY_KINDS } from '../dialects/policy-objects.ts';
import type { PolicyContext } from '../dialects/linkerd-policy.ts';
import type { PolicyStore } from './policy-store.ts';

/** Objects that belong together come one after the other; what is missing for so long is missing. */
const SETTLE_MS = 2_000;

export type PolicyFindingsOptions = {
  readonly store: PolicyStore;
  readonly context: PolicyContext;
  readonly clock: Clock;
  /** Told once of each thing that has no effect, and again when it comes back. */
  readonly report: (object: string, problem: string) => void;
};

/** Keeps account of what policy objects say and what has no effect. */
export class PolicyFindings implements Disposable {
  readonly #options: PolicyFindingsOptions;
  readonly #byNamespace = new Map<string, ReadonlySet<string>>();
  readonly #dirty = new Set<string>();
  #timer: Disposable | undefined;

  constructor(options: PolicyFindingsOptions) {
    this.#options = options;
    options.store.onChange((namespace) => {
      this.#dirty.add(namespace);
      this.#timer ??= options.clock.after(SETTLE_MS, () => this.#look());
    });
  }

  /** Things without effect now. */
  get count(): number {
    return [...this.#byNamespace.values()].reduce((sum, found) => sum + found.size, 0);
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }

  #look(): void {
    this.#timer = undefined;
    const { store, context, report } = this.#options;
    for (const namespace of this.#dirty) {
      const before = this.#byNamespace.get(namespace);
      const now = new Set<string>();
      for (const kind of POLICY_KINDS) {
        for (const object of store.list(kind, namespace)) {
          for (const { object: ref, field, message } of findingsOf(kind, object, store, context)) {
            const name = formatResourceRef(ref);
            const key = `${name} ${field}: ${message}`;
            now.add(key);
            if (before?.has(key) !== true) report(name, `${field}: ${message}`);
          }
        }
      }
      if (now.size > 0) this.#byNamespace.set(namespace, now);
      else this.#byNamespace.delete(namespace);
    }
    this.#dirty.clear();
  }
}
