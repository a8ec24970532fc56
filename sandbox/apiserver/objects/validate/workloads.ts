import { asObject, asString, deepEqual, field, fieldAt, withField, type JsonObject } from '../json.ts';
import { dnsLabelFaults } from '../names.ts';
import { labelSelectorOf, matchesLabels } from '../selectors.ts';
import { goLabelSelector, goStringMap, type Faults } from './faults.ts';
import { checkPodTemplate } from './pod.ts';

/** What Deployment, ReplicaSet, StatefulSet and DaemonSet have in common. */
function checkWorkload(faults: Faults, kind: string, spec: JsonObject): void {
  const selector = field(spec, 'selector');
  for (const name of ['replicas', 'minReadySeconds', 'revisionHistoryLimit'])
    faults.nonNegative(`spec.${name}`, field(spec, name));
  if (selector === undefined) faults.required('spec.selector');
  else {
    faults.labelSelector('spec.selector', selector);
    if (deepEqual(selector, {}))
      faults.invalidPrinted(
        'spec.selector',
        goLabelSelector(selector),
        `empty selector is invalid for ${kind.toLowerCase()}`,
      );
  }
  checkTemplateMatches(faults, 'spec.template', selector, field(spec, 'template'));
  checkPodTemplate(faults, 'spec.template', field(spec, 'template'));
  const restart = asString(fieldAt(spec, 'template', 'spec', 'restartPolicy'));
  faults.oneOfOrAbsent('spec.template.spec.restartPolicy', restart, ['Always']);
  if (fieldAt(spec, 'template', 'spec', 'activeDeadlineSeconds') !== undefined) {
    faults.forbidden('spec.template.spec.activeDeadlineSeconds', `activeDeadlineSeconds in ${kind} is not Supported`);
  }
}

export function checkTemplateMatches(faults: Faults, path: string, selector: unknown, template: unknown): void {
  const labels = fieldAt(template, 'metadata', 'labels');
  try {
    if (selector === undefined || matchesLabels(labelSelectorOf(selector), labels)) return;
  } catch {
    return; // the selector itself is wrong, and reported elsewhere
  }
  faults.invalidPrinted(`${path}.metadata.labels`, goStringMap(labels), '`selector` does not match template `labels`');
}

function checkSelectorKept(faults: Faults, spec: JsonObject, old: JsonObject | undefined): void {
  if (old === undefined) return;
  const selector = field(spec, 'selector');
  faults.immutable('spec.selector', selector, fieldAt(old, 'spec', 'selector'), goLabelSelector(selector));
}

export function validateDeployment(faults: Faults, deployment: JsonObject, old: JsonObject | undefined): void {
  const spec = asObject(field(deployment, 'spec'));
  checkWorkload(faults, 'Deployment', spec);
  checkSelectorKept(faults, spec, old);
  checkStrategy(faults, asObject(field(spec, 'strategy')));
  const deadline = field(spec, 'progressDeadlineSeconds');
  faults.nonNegative('spec.progressDeadlineSeconds', deadline);
  if (typeof deadline === 'number' && deadline <= Number(field(spec, 'minReadySeconds') ?? 0)) {
    faults.invalid('spec.progressDeadlineSeconds', deadline, 'must be greater than minReadySeconds');
  }
}

function checkStrategy(faults: Faults, strategy: JsonObject): void {
  const path = 'spec.strategy';
  const type = field(strategy, 'type');
  const update = field(strategy, 'rollingUpdate');
  if (type === 'Recreate') {
    if (update !== undefined)
      faults.forbidden(`${path}.rollingUpdate`, "may not be specified when strategy `type` is 'Recreate'");
    return;
  }
  if (type !== 'RollingUpdate') {
    faults.oneOfOrAbsent(path, type, ['Recreate', 'RollingUpdate']);
    return;
  }
  const unavailable = field(update, 'maxUnavailable');
  const surge = field(update, 'maxSurge');
  faults.countOrPercent(`${path}.rollingUpdate.maxUnavailable`, unavailable);
  faults.countOrPercent(`${path}.rollingUpdate.maxSurge`, surge);
  if (isNone(unavailable) && isNone(surge)) {
    faults.invalid(`${path}.rollingUpdate.maxUnavailable`, unavailable, 'may not be 0 when `maxSurge` is 0');
  }
  faults.atMost100Percent(`${path}.rollingUpdate.maxUnavailable`, unavailable);
}

function isNone(value: unknown): boolean {
  return value === 0 || value === '0%';
}

export function validateReplicaSet(faults: Faults, set: JsonObject, old: JsonObject | undefined): void {
  const spec = asObject(field(set, 'spec'));
  checkWorkload(faults, 'ReplicaSet', spec);
  checkSelectorKept(faults, spec, old);
}

export function validateDaemonSet(faults: Faults, set: JsonObject, old: JsonObject | undefined): void {
  const spec = asObject(field(set, 'spec'));
  checkWorkload(faults, 'DaemonSet', spec);
  checkSelectorKept(faults, spec, old);
  const path = 'spec.updateStrategy';
  const update = fieldAt(spec, 'updateStrategy', 'rollingUpdate');
  faults.oneOfOrAbsent(path, fieldAt(spec, 'updateStrategy', 'type'), ['OnDelete', 'RollingUpdate']);
  faults.countOrPercent(`${path}.rollingUpdate.maxUnavailable`, field(update, 'maxUnavailable'));
  faults.countOrPercent(`${path}.rollingUpdate.maxSurge`, field(update, 'maxSurge'));
}

const mutableInStatefulSet = [
  'replicas',
  'ordinals',
  'template',
  'updateStrategy',
  'revisionHistoryLimit',
  'persistentVolumeClaimRetentionPolicy',
  'minReadySeconds',
];

export function validateStatefulSet(faults: Faults, set: JsonObject, old: JsonObject | undefined): void {
  const spec = asObject(field(set, 'spec'));
  checkWorkload(faults, 'StatefulSet', spec);
  const policy = field(spec, 'podManagementPolicy');
  if (policy !== 'OrderedReady' && policy !== 'Parallel') {
    faults.invalid('spec.podManagementPolicy', policy, "must be 'OrderedReady' or 'Parallel'");
  }
  const type = fieldAt(spec, 'updateStrategy', 'type');
  if (type !== 'RollingUpdate' && type !== 'OnDelete')
    faults.invalid('spec.updateStrategy', type, "must be 'RollingUpdate' or 'OnDelete'");
  const service = asString(field(spec, 'serviceName'));
  if (old === undefined && service !== '') faults.named('spec.serviceName', service, dnsLabelFaults);
  if (old === undefined || deepEqual(frozenPart(spec), frozenPart(asObject(field(old, 'spec'))))) return;
  faults.forbidden(
    'spec',
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
  );
}

function frozenPart(spec: JsonObject): JsonObject {
  return mutableInStatefulSet.reduce((part, name) => withField(part, name, undefined), spec);
}
