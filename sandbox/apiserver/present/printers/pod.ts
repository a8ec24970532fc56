import type { JsonObject, KubeObject } from '../../object.ts';
import { asString, field, fieldAt, objectsIn } from '../../objects/json.ts';
import { humanDuration } from '../human-duration.ts';
import type { PrintedColumn, Printer, RowCondition } from './printer.ts';
import { ageColumn, nameColumn, numberOf, printer, text, textOr, wide } from './printer.ts';

/** What kubectl shows of a pod's containers. */
export type PodSummary = {
  readonly ready: string; // `ready/total`, native sidecars included
  readonly status: string;
  readonly restarts: string; // with the time since the last one
};

/** Restarts of a set of containers and when the last of them ended, 0 for never. */
type Restarts = { count: number; lastMs: number };

/** Source: kubernetes `pkg/printers/internalversion/printers.go`, printPod. */
export function summarizePod(pod: KubeObject, nowMs: number): PodSummary {
  const initSpecs = objectsIn(fieldAt(pod, 'spec', 'initContainers'));
  const sidecars = new Set(
    initSpecs.filter((spec) => field(spec, 'restartPolicy') === 'Always').map((spec) => asString(field(spec, 'name'))),
  );
  const phase = asString(fieldAt(pod, 'status', 'phase'));
  const conditions = objectsIn(fieldAt(pod, 'status', 'conditions'));
  const init = summarizeInit(objectsIn(fieldAt(pod, 'status', 'initContainerStatuses')), sidecars, initSpecs.length);

  let status = init.status ?? initialStatus(pod, phase, conditions);
  let restarts = init.restarts;
  let ready = init.ready;
  if (init.status === undefined || isTrue(conditions, 'Initialized')) {
    const main = summarizeMain(objectsIn(fieldAt(pod, 'status', 'containerStatuses')));
    restarts = sum(init.sidecarRestarts, main.restarts);
    ready += main.ready;
    status = main.status ?? status;
    if (status === 'Completed' && main.ready > 0) status = isTrue(conditions, 'Ready') ? 'Running' : 'NotReady';
  }
  const total = objectsIn(fieldAt(pod, 'spec', 'containers')).length + sidecars.size;
  return {
    ready: `${ready}/${total}`,
    status: deletionStatus(pod, phase) ?? status,
    restarts:
      restarts.count > 0 && restarts.lastMs > 0
        ? `${restarts.count} (${humanDuration(nowMs - restarts.lastMs)} ago)`
        : String(restarts.count),
  };
}

function initialStatus(pod: KubeObject, phase: string, conditions: readonly JsonObject[]): string {
  const isGated = conditions.some(
    (condition) => field(condition, 'type') === 'PodScheduled' && field(condition, 'reason') === 'SchedulingGated',
  );
  return isGated ? 'SchedulingGated' : textOr(fieldAt(pod, 'status', 'reason'), phase);
}

function deletionStatus(pod: KubeObject, phase: string): string | undefined {
  if (pod.metadata.deletionTimestamp === undefined) return undefined;
  if (fieldAt(pod, 'status', 'reason') === 'NodeLost') return 'Unknown';
  return phase === 'Succeeded' || phase === 'Failed' ? undefined : 'Terminating';
}

type InitSummary = {
  readonly status: string | undefined; // undefined: initialisation is over
  readonly ready: number; // sidecars that are ready
  readonly restarts: Restarts;
  readonly sidecarRestarts: Restarts;
};

function summarizeInit(statuses: readonly JsonObject[], sidecars: ReadonlySet<string>, total: number): InitSummary {
  const restarts: Restarts = { count: 0, lastMs: 0 };
  const sidecarRestarts: Restarts = { count: 0, lastMs: 0 };
  let ready = 0;
  for (const [index, container] of statuses.entries()) {
    const isSidecar = sidecars.has(asString(field(container, 'name')));
    addRestarts(restarts, container);
    if (isSidecar) addRestarts(sidecarRestarts, container);
    if (fieldAt(container, 'state', 'terminated', 'exitCode') === 0) continue;
    if (isSidecar && field(container, 'started') === true) {
      if (field(container, 'ready') === true) ready += 1;
      continue;
    }
    const status = `Init:${initReason(container) ?? `${index}/${total}`}`;
    return { status, ready, restarts, sidecarRestarts };
  }
  return { status: undefined, ready, restarts, sidecarRestarts };
}

function initReason(container: JsonObject): string | undefined {
  const terminated = fieldAt(container, 'state', 'terminated');
  if (terminated !== undefined) return terminationReason(terminated);
  const waiting = asString(fieldAt(container, 'state', 'waiting', 'reason'));
  return waiting !== '' && waiting !== 'PodInitializing' ? waiting : undefined;
}

function terminationReason(terminated: unknown): string {
  const signal = numberOf(field(terminated, 'signal'));
  const fallback = signal === 0 ? `ExitCode:${numberOf(field(terminated, 'exitCode'))}` : `Signal:${signal}`;
  return textOr(field(terminated, 'reason'), fallback);
}

/** The first container that waits or has ended gives the status, hence the walk from the last to the first. */
function summarizeMain(statuses: readonly JsonObject[]): {
  status: string | undefined;
  ready: number;
  restarts: Restarts;
} {
  const restarts: Restarts = { count: 0, lastMs: 0 };
  let status: string | undefined;
  let ready = 0;
  for (const container of statuses.toReversed()) {
    addRestarts(restarts, container);
    const waiting = asString(fieldAt(container, 'state', 'waiting', 'reason'));
    const terminated = fieldAt(container, 'state', 'terminated');
    if (waiting !== '') status = waiting;
    else if (terminated !== undefined) status = terminationReason(terminated);
    else if (field(container, 'ready') === true && fieldAt(container, 'state', 'running') !== undefined) ready += 1;
  }
  return { status, ready, restarts };
}

function addRestarts(restarts: Restarts, container: JsonObject): void {
  restarts.count += numberOf(field(container, 'restartCount'));
  const finishedAt = Date.parse(asString(fieldAt(container, 'lastState', 'terminated', 'finishedAt')));
  if (finishedAt > restarts.lastMs) restarts.lastMs = finishedAt;
}

function sum(a: Restarts, b: Restarts): Restarts {
  return { count: a.count + b.count, lastMs: Math.max(a.lastMs, b.lastMs) };
}

function isTrue(conditions: readonly JsonObject[], type: string): boolean {
  return conditions.some((condition) => field(condition, 'type') === type && field(condition, 'status') === 'True');
}

function readinessGates(pod: KubeObject): string {
  const gates = objectsIn(fieldAt(pod, 'spec', 'readinessGates'));
  if (gates.length === 0) return '<none>';
  const conditions = objectsIn(fieldAt(pod, 'status', 'conditions'));
  const open = gates.filter((gate) => isTrue(conditions, asString(field(gate, 'conditionType'))));
  return `${open.length}/${gates.length}`;
}

function rowConditions(pod: KubeObject): readonly RowCondition[] | undefined {
  const phase = fieldAt(pod, 'status', 'phase');
  if (phase === 'Succeeded') return [completed('Succeeded', 'The pod has completed successfully.')];
  return phase === 'Failed' ? [completed('Failed', 'The pod failed.')] : undefined;
}

function completed(reason: string, message: string): RowCondition {
  return { type: 'Completed', status: 'True', reason, message };
}

const wideColumns: readonly PrintedColumn[] = [
  text('IP', 'podIP address allocated to the pod.', (pod) =>
    textOr(field(objectsIn(fieldAt(pod, 'status', 'podIPs'))[0], 'ip'), '<none>'),
  ),
  text('Node', 'Node the pod is scheduled to.', (pod) => textOr(fieldAt(pod, 'spec', 'nodeName'), '<none>')),
  text('Nominated Node', 'Node the pod may get after preemption.', (pod) =>
    textOr(fieldAt(pod, 'status', 'nominatedNodeName'), '<none>'),
  ),
  text('Readiness Gates', 'Readiness gates that are true, of all of them.', readinessGates),
].map(wide);

const base = printer(
  nameColumn,
  text('Ready', 'The aggregate readiness state of this pod for accepting traffic.', () => null),
  text('Status', 'The aggregate status of the containers in this pod.', () => null),
  text(
    'Restarts',
    'The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.',
    () => null,
  ),
  ageColumn,
  ...wideColumns,
);

export const podPrinter: Printer = {
  columns: base.columns,
  cells(pod, nowMs) {
    const { ready, status, restarts } = summarizePod(pod, nowMs);
    const rest = [ageColumn, ...wideColumns].map((column) => column.cell(pod, nowMs));
    return [pod.metadata.name, ready, status, restarts, ...rest];
  },
  conditions: rowConditions,
};
