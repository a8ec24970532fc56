import type { JsonObject, KubeObject } from '../../object.ts';
import { asString, field, fieldAt, objectsIn } from '../../objects/json.ts';
import { age, humanDuration } from '../human-duration.ts';
import type { PrintedColumn } from './printer.ts';
import { ageColumn, boolean, integer, nameColumn, numberOf, printer, text, textOr, wide } from './printer.ts';
import { formatLabels, formatLabelSelector } from './selector-text.ts';

function statusCount(object: KubeObject, name: string): number {
  return numberOf(fieldAt(object, 'status', name));
}

function readyOf(object: KubeObject): string {
  return `${statusCount(object, 'readyReplicas')}/${numberOf(fieldAt(object, 'spec', 'replicas'))}`;
}

function joined(containers: readonly JsonObject[], name: string): string {
  return containers.map((container) => asString(field(container, name))).join(',');
}

/** Containers and Images of a pod template found by `template`. */
function containerColumns(template: (object: KubeObject) => unknown): readonly PrintedColumn[] {
  const containers = (object: KubeObject): readonly JsonObject[] =>
    objectsIn(fieldAt(template(object), 'spec', 'containers'));
  return [
    wide(
      text('Containers', 'Names of each container in the template.', (object) => joined(containers(object), 'name')),
    ),
    wide(
      text('Images', 'Images referenced by each container in the template.', (object) =>
        joined(containers(object), 'image'),
      ),
    ),
  ];
}

const templateColumns = containerColumns((object) => fieldAt(object, 'spec', 'template'));

function selectorColumn(...path: readonly string[]): PrintedColumn {
  return wide(
    text('Selector', 'Label selector for pods.', (object) => formatLabelSelector(fieldAt(object, ...path, 'selector'))),
  );
}

function statusColumn(name: string, description: string, statusField: string): PrintedColumn {
  return integer(name, description, (object) => statusCount(object, statusField));
}

export const deploymentPrinter = printer(
  nameColumn,
  text('Ready', 'Number of the pod with ready state', readyOf),
  {
    ...statusColumn('Up-to-date', 'Non-terminated pods that have the desired template.', 'updatedReplicas'),
    type: 'string',
  },
  { ...statusColumn('Available', 'Pods ready for at least minReadySeconds.', 'availableReplicas'), type: 'string' },
  ageColumn,
  ...templateColumns,
  selectorColumn('spec'),
);

export const replicaSetPrinter = printer(
  nameColumn,
  integer('Desired', 'Number of desired pods.', (object) => numberOf(fieldAt(object, 'spec', 'replicas'))),
  statusColumn('Current', 'Number of pods that exist.', 'replicas'),
  statusColumn('Ready', 'Number of ready pods.', 'readyReplicas'),
  ageColumn,
  ...templateColumns,
  selectorColumn('spec'),
);

export const statefulSetPrinter = printer(
  nameColumn,
  text('Ready', 'Number of the pod with ready state', readyOf),
  ageColumn,
  ...templateColumns,
);

export const daemonSetPrinter = printer(
  nameColumn,
  statusColumn('Desired', 'Nodes that should run the pod.', 'desiredNumberScheduled'),
  statusColumn('Current', 'Nodes that run at least one such pod.', 'currentNumberScheduled'),
  statusColumn('Ready', 'Nodes with a ready pod.', 'numberReady'),
  statusColumn('Up-to-date', 'Nodes that run the updated pod.', 'updatedNumberScheduled'),
  statusColumn('Available', 'Nodes with an available pod.', 'numberAvailable'),
  text('Node Selector', 'Labels a node must have.', (object) =>
    formatLabels(fieldAt(object, 'spec', 'template', 'spec', 'nodeSelector')),
  ),
  ageColumn,
  ...templateColumns,
  selectorColumn('spec'),
);

export const controllerRevisionPrinter = printer(
  nameColumn,
  text('Controller', 'Controller of the object', (object) => {
    const owner = object.metadata.ownerReferences?.find((reference) => reference.controller === true);
    if (owner === undefined) return '<none>';
    const group = owner.apiVersion.includes('/') ? `.${owner.apiVersion.split('/')[0]}` : '';
    return `${`${owner.kind}${group}`.toLowerCase()}/${owner.name}`;
  }),
  text('Revision', 'Revision of the state that the data stands for.', (object) => numberOf(object['revision'])),
  ageColumn,
);

function hasCondition(object: KubeObject, type: string): boolean {
  const conditions = objectsIn(fieldAt(object, 'status', 'conditions'));
  return conditions.some((condition) => field(condition, 'type') === type && field(condition, 'status') === 'True');
}

function jobStatus(job: KubeObject): string {
  if (hasCondition(job, 'Complete')) return 'Complete';
  if (hasCondition(job, 'Failed')) return 'Failed';
  if (job.metadata.deletionTimestamp !== undefined) return 'Terminating';
  if (hasCondition(job, 'Suspended')) return 'Suspended';
  return hasCondition(job, 'FailureTarget') ? 'FailureTarget' : 'Running';
}

function jobCompletions(job: KubeObject): string {
  const succeeded = statusCount(job, 'succeeded');
  const completions = fieldAt(job, 'spec', 'completions');
  if (typeof completions === 'number') return `${succeeded}/${completions}`;
  const parallelism = numberOf(fieldAt(job, 'spec', 'parallelism'));
  return parallelism > 1 ? `${succeeded}/1 of ${parallelism}` : `${succeeded}/1`;
}

function jobDuration(job: KubeObject, nowMs: number): string {
  const start = Date.parse(asString(fieldAt(job, 'status', 'startTime')));
  if (Number.isNaN(start)) return '';
  const end = Date.parse(asString(fieldAt(job, 'status', 'completionTime')));
  return humanDuration((Number.isNaN(end) ? nowMs : end) - start);
}

export const jobPrinter = printer(
  nameColumn,
  text('Status', 'Status of the job.', jobStatus),
  text('Completions', 'Pods that succeeded, of those wanted.', jobCompletions),
  text('Duration', 'Time required to complete the job.', jobDuration),
  ageColumn,
  ...templateColumns,
  selectorColumn('spec'),
);

export const cronJobPrinter = printer(
  nameColumn,
  text('Schedule', 'The schedule in Cron format.', (object) => asString(fieldAt(object, 'spec', 'schedule'))),
  text('Timezone', 'Time zone of the schedule.', (object) => textOr(fieldAt(object, 'spec', 'timeZone'), '<none>')),
  boolean('Suspend', 'Whether later runs are suspended.', (object) => fieldAt(object, 'spec', 'suspend') === true),
  integer('Active', 'Running jobs.', (object) => objectsIn(fieldAt(object, 'status', 'active')).length),
  text('Last Schedule', 'When a job was last scheduled.', (object, nowMs) => {
    const last = fieldAt(object, 'status', 'lastScheduleTime');
    return last === undefined ? '<none>' : age(last, nowMs);
  }),
  ageColumn,
  ...containerColumns((object) => fieldAt(object, 'spec', 'jobTemplate', 'spec', 'template')),
  selectorColumn('spec', 'jobTemplate', 'spec'),
);

export const podDisruptionBudgetPrinter = printer(
  nameColumn,
  text('Min Available', 'The minimum number of pods that must be available.', (object) =>
    textOr(fieldAt(object, 'spec', 'minAvailable'), 'N/A'),
  ),
  text('Max Unavailable', 'The maximum number of pods that may be unavailable.', (object) =>
    textOr(fieldAt(object, 'spec', 'maxUnavailable'), 'N/A'),
  ),
  statusColumn(
    'Allowed Disruptions',
    'Calculated number of pods that may be disrupted at this time.',
    'disruptionsAllowed',
  ),
  ageColumn,
);
