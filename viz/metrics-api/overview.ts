import { PRIMARY_KINDS, primaryKind, workloadName, type Pod, type PrimaryKind } from './pods.ts';
import { routes, type RouteRow } from './routes.ts';
import { ADMIN_PORT, stat, type ServiceEntry, type StatRow } from './stat.ts';
import type { MetricsStore } from './store.ts';
import { links, type Link } from './topology.ts';

/** A workload of the dashboard, with what arrived at it lately. */
export type WorkloadRow = StatRow & { readonly kind: PrimaryKind; readonly history: History };

/** Responses in steps of equal length, the oldest first. */
export type History = { readonly successes: readonly number[]; readonly failures: readonly number[] };

/** One consistent look at everything that the dashboard shows. */
export type Overview = {
  readonly nowMs: number; // wall time of the answer
  readonly windowMs: number;
  readonly historyStepMs: number;
  readonly namespaces: readonly NamespaceEntry[];
  readonly workloads: readonly WorkloadRow[];
  readonly services: readonly StatRow[];
  readonly links: readonly Link[];
  readonly routes: readonly RouteRow[];
};

export type NamespaceEntry = { readonly name: string; readonly pods: number; readonly meshedPods: number };

const HISTORY_STEPS = 30;
export const HISTORY_STEP_MS = 10_000;

export type OverviewQuery = { readonly namespace?: string; readonly windowMs: number };

/** Everything of one namespace, or of all. */
export function overview(
  query: OverviewQuery,
  sources: {
    readonly pods: readonly Pod[];
    readonly services: readonly ServiceEntry[];
    readonly store: MetricsStore;
    readonly identityOf: (pod: Pod) => string;
  },
  nowMs: number,
): Overview {
  const { pods, services, store, identityOf } = sources;
  return {
    nowMs,
    windowMs: query.windowMs,
    historyStepMs: HISTORY_STEP_MS,
    namespaces: namespacesOf(pods),
    workloads: workloads(query, pods, store, nowMs),
    services: stat({ ...query, kind: 'service' }, pods, store, nowMs, services),
    links: links(query, pods, store, nowMs, identityOf),
    routes: routes({ ...query, kind: 'service' }, pods, store, nowMs, services).rows,
  };
}

function namespacesOf(pods: readonly Pod[]): readonly NamespaceEntry[] {
  const found = new Map<string, { name: string; pods: number; meshedPods: number }>();
  for (const { namespace, isFinished, isMeshed } of pods) {
    if (isFinished) continue;
    const entry = found.get(namespace) ?? { name: namespace, pods: 0, meshedPods: 0 };
    found.set(namespace, entry);
    entry.pods += 1;
    if (isMeshed) entry.meshedPods += 1;
  }
  return [...found.values()].sort((a, b) => a.name.localeCompare(b.name));
}

function workloads(query: OverviewQuery, pods: readonly Pod[], store: MetricsStore, nowMs: number): WorkloadRow[] {
  return PRIMARY_KINDS.flatMap((kind) => {
    const ofKind = pods.filter((pod) => primaryKind(pod) === kind);
    return stat({ ...query, kind }, ofKind, store, nowMs).map((row) => {
      const own = ofKind.filter((pod) => pod.namespace === row.namespace && workloadName(pod, kind) === row.name);
      return { ...row, kind, history: historyOf(own, store, nowMs) };
    });
  });
}

/** What arrived at the pods, over the last five minutes. */
function historyOf(pods: readonly Pod[], store: MetricsStore, nowMs: number): History {
  const successes = Array.from({ length: HISTORY_STEPS }, () => 0);
  const failures = Array.from({ length: HISTORY_STEPS }, () => 0);
  const fromMs = nowMs - HISTORY_STEPS * HISTORY_STEP_MS;
  for (const { key } of pods) {
    store.eachGrowth(key, 'response_total', fromMs, (labels, timeMs, growth) => {
      if (labels['direction'] !== 'inbound' || labels['target_port'] === ADMIN_PORT) return;
      const step = Math.min(HISTORY_STEPS - 1, Math.floor((timeMs - fromMs) / HISTORY_STEP_MS));
      const counts = labels['classification'] === 'failure' ? failures : successes;
      counts[step] = (counts[step] ?? 0) + growth;
    });
  }
  return { successes, failures };
}
