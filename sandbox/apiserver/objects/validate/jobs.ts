import { asObject, asString, field, fieldAt, isObject, withField, type JsonObject } from '../json.ts';
import { invalidPrinted, notSupported, required } from '../field-error.ts';
import { goLabelSelector, type Faults } from './faults.ts';
import { checkPodTemplate } from './pod.ts';
import { checkTemplateMatches } from './workloads.ts';

const counts = [
  'parallelism',
  'completions',
  'activeDeadlineSeconds',
  'backoffLimit',
  'ttlSecondsAfterFinished',
  'backoffLimitPerIndex',
  'maxFailedIndexes',
];

function checkJobSpec(faults: Faults, path: string, spec: JsonObject): void {
  for (const name of counts) faults.nonNegative(`${path}.${name}`, field(spec, name));
  const mode = field(spec, 'completionMode');
  faults.oneOfOrAbsent(`${path}.completionMode`, mode, ['Indexed', 'NonIndexed']);
  if (mode === 'Indexed' && field(spec, 'completions') === undefined) {
    faults.required(`${path}.completions`, 'when completion mode is Indexed');
  }
  checkPodTemplate(faults, `${path}.template`, field(spec, 'template'));
  const restart = asString(fieldAt(spec, 'template', 'spec', 'restartPolicy'));
  const at = `${path}.template.spec.restartPolicy`;
  if (restart === 'Always' || restart === '') faults.add(required(at, 'valid values: "OnFailure", "Never"'));
  else if (restart !== 'OnFailure' && restart !== 'Never')
    faults.add(notSupported(at, restart, ['OnFailure', 'Never']));
}

export function validateJob(faults: Faults, job: JsonObject, old: JsonObject | undefined): void {
  const spec = asObject(field(job, 'spec'));
  checkJobSpec(faults, 'spec', spec);
  const selector = field(spec, 'selector');
  if (selector === undefined) faults.required('spec.selector');
  else faults.labelSelector('spec.selector', selector);
  checkTemplateMatches(faults, 'spec.template', selector, field(spec, 'template'));
  if (old === undefined) return;
  const before = asObject(field(old, 'spec'));
  faults.immutable('spec.selector', selector, field(before, 'selector'), goLabelSelector(selector));
  for (const name of [
    'completions',
    'completionMode',
    'podFailurePolicy',
    'backoffLimitPerIndex',
    'managedBy',
    'successPolicy',
  ]) {
    if (name === 'completions' && field(spec, 'completionMode') === 'Indexed') continue; // elastic jobs
    faults.immutable(`spec.${name}`, field(spec, name), field(before, name));
  }
  const isSuspended = field(before, 'suspend') === true;
  const template = field(spec, 'template');
  const frozen = isSuspended && isObject(template) ? schedulable(template, field(before, 'template')) : template;
  faults.immutable('spec.template', frozen, field(before, 'template'), 'core.PodTemplateSpec{...}');
}

/** The scheduling directives of a suspended job may change: they are taken from the old template for the comparison. */
function schedulable(template: JsonObject, old: unknown): JsonObject {
  const before = asObject(field(old, 'spec'));
  const spec = ['nodeSelector', 'tolerations', 'affinity', 'schedulingGates'].reduce(
    (at, name) => withField(at, name, field(before, name)),
    asObject(field(template, 'spec')),
  );
  return { ...template, spec, metadata: field(old, 'metadata') };
}

export function validateCronJob(faults: Faults, cronJob: JsonObject, old: JsonObject | undefined): void {
  const spec = asObject(field(cronJob, 'spec'));
  const name = asString(fieldAt(cronJob, 'metadata', 'name'));
  if (old === undefined && name.length > 52)
    faults.invalid('metadata.name', name, 'must be no more than 52 characters');
  const schedule = asString(field(spec, 'schedule'));
  if (schedule === '') faults.required('spec.schedule');
  else checkSchedule(faults, schedule);
  faults.oneOf('spec.concurrencyPolicy', field(spec, 'concurrencyPolicy'), ['Allow', 'Forbid', 'Replace']);
  for (const limit of ['startingDeadlineSeconds', 'successfulJobsHistoryLimit', 'failedJobsHistoryLimit']) {
    faults.nonNegative(`spec.${limit}`, field(spec, limit));
  }
  const job = asObject(fieldAt(spec, 'jobTemplate', 'spec'));
  checkJobSpec(faults, 'spec.jobTemplate.spec', job);
  const selector = field(job, 'selector');
  if (selector !== undefined) {
    faults.add(
      invalidPrinted('spec.jobTemplate.spec.selector', goLabelSelector(selector), '`selector` will be auto-generated'),
    );
  }
}

const units = [
  { name: 'minute', low: 0, high: 59 },
  { name: 'hour', low: 0, high: 23 },
  { name: 'day', low: 1, high: 31 },
  { name: 'month', low: 1, high: 12 },
  { name: 'weekday', low: 0, high: 6 },
];

const monthsAndDays = /^(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|sun|mon|tue|wed|thu|fri|sat)$/i;

function checkSchedule(faults: Faults, schedule: string): void {
  if (schedule.includes('TZ')) {
    faults.invalid('spec.schedule', schedule, 'cannot use TZ or CRON_TZ in schedule, use timeZone field instead');
  }
  const words = schedule.trim().split(/\s+/);
  if (/^@(?:yearly|annually|monthly|weekly|daily|midnight|hourly|every \S+)$/.test(schedule.trim())) return;
  if (words.length !== units.length) {
    faults.invalid('spec.schedule', schedule, `expected exactly 5 fields, found ${words.length}: [${words.join(' ')}]`);
    return;
  }
  for (const [index, word] of words.entries()) {
    const unit = units[index];
    if (unit === undefined || word.split(',').every((part) => isCronPart(part, unit.low, unit.high))) continue;
    faults.invalid('spec.schedule', schedule, `failed to parse ${unit.name} field: ${word}`);
  }
}

function isCronPart(part: string, low: number, high: number): boolean {
  const parts = /^(?:[*?]|(\w+)(?:-(\w+))?)(?:\/([1-9]\d*))?$/.exec(part);
  return parts !== null && [parts[1], parts[2]].every((bound) => bound === undefined || isCronBound(bound, low, high));
}

function isCronBound(bound: string, low: number, high: number): boolean {
  if (monthsAndDays.test(bound)) return true;
  return /^\d+$/.test(bound) && Number(bound) >= low && Number(bound) <= high;
}
