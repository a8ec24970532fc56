import { isDeepStrictEqual } from 'node:util';
import type { ResourceStore } from '#k8s/resource-store.ts';
import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { Pod } from '#k8s/resources/pod.ts';
import type { Service } from '#k8s/resources/service.ts';
import type { Clock } from '#runtime/clock.ts';
import type { EgressNetworks } from '../../policy/egress-networks.ts';
import type { OutboundIndex } from '../../policy/outbound-index.ts';
import type { PolicyStore } from '../../policy/policy-store.ts';
import type { RouteIndex } from '../../policy/route-index.ts';
import type { TrafficObjects } from '../../policy/traffic-objects.ts';
import type { Code } from '../../diagnosis/codes.ts';
import { gravestFirst, type Diagnosis } from '../../diagnosis/diagnosis.ts';
import type { Configuration, ConfigurationContext } from '../configuration.ts';
import { CLUSTER_RULES, OBJECT_RULES } from '../rules/configuration-rules.ts';
import type { ServiceAccounts } from '../service-accounts.ts';
import { PodGroups } from './pod-groups.ts';

export type EffectsOptions = {
  readonly context: ConfigurationContext;
  readonly services: ResourceStore<Service>;
  readonly pods: ResourceStore<Pod>;
  readonly routes: RouteIndex;
  readonly policies: PolicyStore;
  readonly traffic: TrafficObjects;
  readonly egress: EgressNetworks;
  readonly serviceAccounts: ServiceAccounts;
  readonly outbound: OutboundIndex;
  readonly clock: Clock;
  /** Whether anybody wants to know: of several processes one writes statuses. */
  readonly isWanted: () => boolean;
  /** Told of each time that the rules were asked, and how long that took. */
  readonly onLooked?: (tookMs: number) => void;
  readonly onError: (error: unknown) => void;
};

/** Objects that belong together come one after the other. */
const SETTLE_MS = 200;
/** The rules look at everything, so they are asked at most so often, and for no larger share of the time. */
const INTERVAL_MS_MIN = 1_000;
const SHARE_MAX = 0.05;
/** Objects that a rule is asked about in one step: some milliseconds. */
const AT_A_TIME = 50;
/** After so long other work has its turn. */
const SLICE_MS = 5;

/** What the rules said about an object in one of its generations. */
type Verdict = { readonly uid: string; readonly generation: number; readonly found: readonly Diagnosis[] };

/**
 * What the rules say about each object of a control plane that runs. They look at everything at once, some time after something
 * has changed that they look at; in between other work has its turn.
 */
export class Effects implements Disposable {
  readonly #options: EffectsOptions;
  readonly #pods: PodGroups;
  readonly #listeners: ((changed: ReadonlySet<string>) => void)[] = [];
  #verdicts: ReadonlyMap<string, Verdict> = new Map();
  #looked: readonly CustomObject[] = [];
  #isDirty = true;
  #timer: Disposable | undefined;
  #isRunning = false;
  #isRequested = false; // while it ran
  #notBeforeMs = 0;
  #isClosed = false;

  constructor(options: EffectsOptions) {
    this.#options = options;
    const { services, pods, routes, policies, traffic, egress, serviceAccounts } = options;
    const dirty = (): void => {
      this.#isDirty = true;
      this.request();
    };
    this.#pods = new PodGroups(pods, dirty);
    serviceAccounts.onChange(dirty);
    services.onChange((next, previous) => {
      if (next === undefined || previous === undefined || !isSameService(next, previous)) dirty();
    });
    // Whether these have changed in what the rules look at is found out when they are looked at.
    const request = (): void => this.request();
    for (const store of [...routes.stores, traffic.profiles, traffic.splits, egress.store]) store.onChange(request);
    policies.onChange(request);
  }

  /** What is known about an object as it is now, the gravest first; nothing when it has changed since. */
  of(object: CustomObject): readonly Diagnosis[] | undefined {
    const verdict = this.#verdicts.get(identityOf(object));
    return verdict?.uid === object.uid && verdict.generation === object.generation ? verdict.found : undefined;
  }

  /** Findings by code; none where nobody wants to know. */
  counts(): ReadonlyMap<Code, number> {
    const all = this.#options.isWanted() ? [...this.#verdicts.values()].flatMap(({ found }) => found) : [];
    return new Map([...Map.groupBy(all, ({ code }) => code)].map(([code, some]) => [code, some.length]));
  }

  /** Told of the objects about which something else is said than before, as `identityOf` names them; must not throw. */
  onLooked(listener: (changed: ReadonlySet<string>) => void): void {
    this.#listeners.push(listener);
  }

  /** Looks soon, and tells the listeners also when nothing has changed. */
  request(): void {
    if (this.#isClosed || this.#timer !== undefined || !this.#options.isWanted()) return;
    if (this.#isRunning) {
      this.#isRequested = true;
      return;
    }
    const { clock } = this.#options;
    const delayMs = Math.max(SETTLE_MS, this.#notBeforeMs - clock.now());
    this.#timer = clock.after(delayMs, () => void this.#look()); // never rejects
  }

  /** Forgets what it knows and tells everything anew, as after a time in which nobody wanted to know. */
  restart(): void {
    this.#verdicts = new Map();
    this.#isDirty = true;
    this.request();
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#timer?.[Symbol.dispose]();
  }

  async #look(): Promise<void> {
    this.#timer = undefined;
    if (this.#isClosed || !this.#options.isWanted()) return;
    this.#isRunning = true;
    try {
      const changed = await this.#changes();
      if (!this.#isClosed) for (const listener of this.#listeners) listener(changed);
    } catch (error) {
      this.#options.onError(error);
    }
    this.#isRunning = false;
    if (this.#isRequested) {
      this.#isRequested = false;
      this.request();
    }
  }

  async #changes(): Promise<ReadonlySet<string>> {
    const { policies, routes, traffic, egress, clock, onLooked } = this.#options;
    const custom = [
      ...policies.all(),
      ...routes.stores.flatMap((store) => [...store.values()]),
      ...traffic.profiles.values(),
      ...traffic.splits.values(),
      ...egress.store.values(),
    ];
    if (!this.#isDirty && isSameAsBefore(custom, this.#looked)) return new Set();
    this.#isDirty = false;
    this.#looked = custom;
    this.#notBeforeMs = clock.now() + INTERVAL_MS_MIN;
    let tookMs = 0;
    const found: Diagnosis[] = [];
    const configuration: Configuration = {
      ...this.#options,
      custom,
      workloadsIn: (namespace) => this.#pods.workloadsIn(namespace),
      hasGateway: () => undefined,
    };
    let sliceMs = performance.now(); // its begin
    const rest = async (longMs: number): Promise<void> => {
      const nowMs = performance.now();
      if (nowMs - sliceMs < longMs) return;
      tookMs += nowMs - sliceMs;
      await new Promise(setImmediate);
      sliceMs = performance.now();
    };
    const ask = async (rule: (typeof CLUSTER_RULES)[number], about: readonly CustomObject[]): Promise<void> => {
      for (const one of rule({ ...configuration, custom: about })) {
        if (one !== undefined) found.push(one);
        await rest(SLICE_MS);
      }
      await rest(SLICE_MS);
    };
    for (let from = 0; from < custom.length; from += AT_A_TIME)
      for (const rule of OBJECT_RULES) await ask(rule, custom.slice(from, from + AT_A_TIME));
    for (const rule of CLUSTER_RULES) await ask(rule, custom);
    await rest(0);
    this.#notBeforeMs = Math.max(this.#notBeforeMs, clock.now() + tookMs / SHARE_MAX);
    onLooked?.(tookMs);
    return this.#keep(custom, found);
  }

  #keep(custom: readonly CustomObject[], found: readonly Diagnosis[]): ReadonlySet<string> {
    const byObject = Map.groupBy(found, identityOf);
    const before = this.#verdicts;
    const now = new Map<string, Verdict>();
    const changed = new Set<string>();
    for (const object of custom) {
      const { uid, generation } = object;
      const key = identityOf(object);
      const verdict = { uid, generation, found: gravestFirst(byObject.get(key) ?? []) };
      now.set(key, verdict);
      if (!isDeepStrictEqual(before.get(key), verdict)) changed.add(key);
    }
    this.#verdicts = now;
    return changed;
  }
}

/** Of an object, and of a finding about it. */
export function identityOf({
  group,
  kind,
  namespace,
  name,
}: Pick<Diagnosis, 'group' | 'kind' | 'namespace' | 'name'>): string {
  return `${kind}.${group} ${namespace}/${name}`;
}

/** Whether rules would say the same: they look at no status, and at no time. */
function isSameAsBefore(now: readonly CustomObject[], before: readonly CustomObject[]): boolean {
  return now.length === before.length && now.every((object, index) => isSame(object, before[index]));
}

function isSame(a: CustomObject, b: CustomObject | undefined): boolean {
  if (a === b) return true;
  return (
    b !== undefined &&
    identityOf(a) === identityOf(b) &&
    a.uid === b.uid &&
    a.generation === b.generation &&
    isDeepStrictEqual(a.labels, b.labels) &&
    isDeepStrictEqual(a.annotations, b.annotations)
  );
}

function isSameService(a: Service, b: Service): boolean {
  const { labels: _a, ...one } = a;
  const { labels: _b, ...other } = b;
  return isDeepStrictEqual(one, other);
}
