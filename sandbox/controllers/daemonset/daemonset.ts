import { isNamespaceTerminating, messageOf } from '../api-errors.ts';
import { inBursts } from '../bursts.ts';
import {
  byCreation,
  deleteExactly,
  keyFor,
  keyOf,
  startQueue,
  timeOf,
  together,
  writeStatus,
  type Again,
  type ControllerContext,
} from '../controller.ts';
import { scaled } from '../deployment/rolling-update.ts';
import { defined, unlessZero } from '../json.ts';
import { matchesSelector, selectsEverything } from '../label-selector.ts';
import { claim, controllerOf } from '../owners.ts';
import { isAvailable, isFinished, isReady, isTerminating, nextAvailableInMs, podFromTemplate } from '../pods.ts';
import type { ControllerRevision, DaemonSet, DaemonSetStatus, Pod } from '../resources.ts';
import {
  hashOf,
  REVISION_HASH,
  reviseHistory,
  templateOf,
  truncateHistory,
  type History,
} from '../revisions/revisions.ts';
import { fit, nodeOf, pinnedTo } from './node-fit.ts';

const SOURCE = 'daemonset-controller';
const GENERATION_ANNOTATION = 'deprecated.daemonset.template.generation';
const GENERATION_LABEL = 'pod-template-generation';
/** A daemon that failed is made again, but not at full speed. */
const FAILED_AGAIN_MS = 1000;

/** Runs one pod of each DaemonSet on every node that fits. Source: kube-controller-manager `daemon`. */
export function startDaemonSetController(context: ControllerContext): Disposable {
  const { client } = context;
  const queue = startQueue(context, SOURCE, (namespace, name) => reconcile(context, namespace, name));
  const wake = (pod: Pod): void => {
    const owner = controllerOf(pod);
    if (owner?.kind === 'DaemonSet') queue.add(keyFor(pod.metadata.namespace, owner.name));
    if (owner !== undefined) return;
    for (const set of client.list('daemonsets.apps', pod.metadata.namespace)) {
      if (matchesSelector(set.spec.selector, pod.metadata.labels)) queue.add(keyOf(set));
    }
  };
  const wakeAll = (): void => client.list('daemonsets.apps').forEach((set) => queue.add(keyOf(set)));
  return together(
    queue,
    client.watch('daemonsets.apps', { apply: (set) => queue.add(keyOf(set)), delete: (set) => queue.add(keyOf(set)) }),
    client.watch('pods', { apply: wake, delete: wake }),
    client.watch('nodes', {
      apply(node, old) {
        // Heartbeats change only the status.
        if (old === undefined || old.metadata.labels !== node.metadata.labels || old.spec !== node.spec) wakeAll();
      },
      delete: wakeAll,
    }),
  );
}

/** The pods of one set on one node, and whether the node wants any. */
type OnNode = {
  readonly node: string;
  readonly shouldRun: boolean;
  readonly mayStay: boolean;
  readonly pods: readonly Pod[];
};

async function reconcile(context: ControllerContext, namespace: string, name: string): Promise<Again> {
  const { client, clock } = context;
  const set = client.get('daemonsets.apps', namespace, name);
  if (set === undefined || set.metadata.deletionTimestamp !== undefined) return undefined;
  if (selectsEverything(set.spec.selector)) {
    const message = 'This daemon set is selecting all pods. A non-empty selector is required.';
    client.event(set, 'Warning', 'SelectingAll', message, SOURCE);
    return undefined;
  }
  const pods = await claim(client, 'pods', set, set.spec.selector);
  let history: History;
  try {
    history = await reviseHistory(client, set);
  } catch (error) {
    if (isNamespaceTerminating(error)) return undefined;
    throw error;
  }
  const plan = planPods(set, nodesWith(context, set, pods), history.update, clock.now());
  let failure: unknown;
  try {
    await carryOut(context, set, plan, history.update);
  } catch (error) {
    failure = error;
  }
  const left = client.list('pods', namespace).filter((pod) => controllerOf(pod)?.uid === set.metadata.uid);
  const status = daemonStatus(set, nodesWith(context, set, left), history, clock.now());
  await writeStatus(client, 'daemonsets.apps', set, status);
  const hashes = new Set(left.map((pod) => pod.metadata.labels?.[REVISION_HASH]));
  const used = history.all.filter((revision) => hashes.has(hashOf(revision))).map(({ metadata }) => metadata.name);
  await truncateHistory(client, set, history, new Set(used));
  if (failure !== undefined) throw failure instanceof Error ? failure : new Error(messageOf(failure));
  if (left.some((pod) => isFinished(pod) && !isTerminating(pod))) return FAILED_AGAIN_MS;
  return nextAvailableInMs(left, set.spec.minReadySeconds ?? 0, clock.now());
}

function nodesWith({ client }: ControllerContext, set: DaemonSet, pods: readonly Pod[]): readonly OnNode[] {
  const byNode = Map.groupBy(pods, (pod) => nodeOf(pod.spec) ?? '');
  const known = client.list('nodes').map((node) => ({
    node: node.metadata.name,
    ...fit(set.spec.template.spec, node),
    pods: byNode.get(node.metadata.name) ?? [],
  }));
  const names = new Set(known.map(({ node }) => node));
  const lost = [...byNode].filter(([node]) => node !== '' && !names.has(node));
  return [...known, ...lost.map(([node, orphans]) => ({ node, shouldRun: false, mayStay: false, pods: orphans }))];
}

export type PodPlan = { readonly create: readonly string[]; readonly remove: readonly Pod[] };

/**
 * One living pod on every node that wants one; pods of an old revision are replaced within `maxUnavailable`, or, with
 * `maxSurge`, after their successor on the same node is available.
 */
export function planPods(set: DaemonSet, nodes: readonly OnNode[], update: ControllerRevision, nowMs: number): PodPlan {
  const hash = hashOf(update);
  const minReadySeconds = set.spec.minReadySeconds ?? 0;
  const isUp = (pod: Pod): boolean => isAvailable(pod, minReadySeconds, nowMs) && !isTerminating(pod);
  const wanted = nodes.filter(({ shouldRun }) => shouldRun);
  const limits = limitsOf(set, wanted.length);
  let unavailable = wanted.filter(({ pods }) => !pods.some(isUp)).length;
  let surged = wanted.filter(({ pods }) => pods.filter((pod) => !isTerminating(pod)).length > 1).length;
  const create: string[] = [];
  const remove: Pod[] = [];
  for (const { node, shouldRun, mayStay, pods } of nodes) {
    const living = pods.filter((pod) => !isTerminating(pod)).sort(byCreation);
    const finished = living.filter(isFinished);
    const running = living.filter((pod) => !finished.includes(pod));
    const ripe = finished.filter((pod) => nowMs - timeOf(pod.metadata.creationTimestamp) >= FAILED_AGAIN_MS);
    if (!shouldRun) {
      remove.push(...(mayStay ? ripe : living));
      continue;
    }
    remove.push(...ripe);
    const fresh = running.filter((pod) => pod.metadata.labels?.[REVISION_HASH] === hash);
    const old = running.filter((pod) => !fresh.includes(pod));
    remove.push(...fresh.slice(1));
    if (running.length === 0) {
      // A pod that is still ending keeps its ports: the next one waits for it, unless both may run side by side.
      if (finished.length === 0 && (limits.surge > 0 || pods.length === 0)) create.push(node);
      continue;
    }
    if (old.length === 0) continue;
    remove.push(...old.slice(0, -1));
    const last = old.at(-1);
    if (last === undefined || set.spec.updateStrategy?.type === 'OnDelete') continue;
    if (fresh.length > 0) {
      if (fresh.some(isUp) || !isUp(last)) remove.push(last);
    } else if (limits.surge > 0) {
      if (surged < limits.surge) {
        surged += 1;
        create.push(node);
      }
    } else if (!isUp(last)) {
      remove.push(last);
    } else if (unavailable < limits.unavailable) {
      unavailable += 1;
      remove.push(last);
    }
  }
  return { create, remove };
}

function limitsOf(set: DaemonSet, wanted: number): { readonly surge: number; readonly unavailable: number } {
  const { maxSurge = 0, maxUnavailable = 1 } = set.spec.updateStrategy?.rollingUpdate ?? {};
  const surge = scaled(maxSurge, wanted, 'up');
  return { surge, unavailable: Math.max(surge === 0 ? 1 : 0, scaled(maxUnavailable, wanted, 'up')) };
}

async function carryOut(
  { client }: ControllerContext,
  set: DaemonSet,
  plan: PodPlan,
  update: ControllerRevision,
): Promise<void> {
  for (const pod of plan.remove) {
    if (pod.status?.phase === 'Failed') {
      const message = `Found failed daemon pod ${pod.metadata.namespace}/${pod.metadata.name} on node ${nodeOf(pod.spec)}, will try to kill it`;
      client.event(set, 'Warning', 'FailedDaemonPod', message, SOURCE);
    }
    await deleteExactly(client, 'pods', pod);
    client.event(set, 'Normal', 'SuccessfulDelete', `Deleted pod: ${pod.metadata.name}`, SOURCE);
  }
  const { error } = await inBursts(plan.create.length, async (index) => {
    const pod = await client.create('pods', daemonPod(set, plan.create[index] ?? '', update));
    client.event(set, 'Normal', 'SuccessfulCreate', `Created pod: ${pod.metadata.name}`, SOURCE);
  });
  if (error === undefined || isNamespaceTerminating(error)) return;
  client.event(set, 'Warning', 'FailedCreate', `Error creating: ${messageOf(error)}`, SOURCE);
  throw error instanceof Error ? error : new Error(messageOf(error));
}

function daemonPod(set: DaemonSet, node: string, update: ControllerRevision) {
  const template = templateOf(update);
  const generation = set.metadata.annotations?.[GENERATION_ANNOTATION];
  const pod = podFromTemplate(template, set, {
    generateName: `${set.metadata.name}-`,
    labels: {
      ...template.metadata?.labels,
      [REVISION_HASH]: hashOf(update),
      ...(generation === undefined ? {} : { [GENERATION_LABEL]: generation }),
    },
  });
  return { ...pod, spec: pinnedTo(pod.spec, node) };
}

function daemonStatus(set: DaemonSet, nodes: readonly OnNode[], history: History, nowMs: number): DaemonSetStatus {
  const hash = hashOf(history.update);
  const wanted = nodes.filter(({ shouldRun }) => shouldRun);
  const living = (on: OnNode): readonly Pod[] => on.pods.filter((pod) => !isTerminating(pod));
  const has = (is: (pod: Pod) => boolean): number => wanted.filter((on) => living(on).some(is)).length;
  const isUp = (pod: Pod): boolean => isAvailable(pod, set.spec.minReadySeconds ?? 0, nowMs);
  const available = has(isUp);
  return defined({
    currentNumberScheduled: has(() => true),
    numberMisscheduled: nodes.filter((on) => !on.shouldRun && living(on).length > 0).length,
    desiredNumberScheduled: wanted.length,
    numberReady: has(isReady),
    observedGeneration: set.metadata.generation,
    updatedNumberScheduled: unlessZero(has((pod) => pod.metadata.labels?.[REVISION_HASH] === hash)),
    numberAvailable: unlessZero(available),
    numberUnavailable: unlessZero(wanted.length - available),
    collisionCount: unlessZero(history.collisionCount),
  });
}
