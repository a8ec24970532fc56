import {
  asArray,
  asObject,
  asString,
  deepEqual,
  field,
  fieldAt,
  isArray,
  isObject,
  objectsIn,
  withField,
  type JsonObject,
} from '../json.ts';
import { dnsLabelFaults, dnsSubdomainFaults, labelValueFaults, qualifiedNameFaults, rangeText } from '../names.ts';
import { checkContainers, checkInitContainers } from './container.ts';
import type { Faults } from './faults.ts';
import { checkAnnotations } from './metadata.ts';
import { checkVolumes } from './volumes.ts';

export function checkPodSpec(faults: Faults, path: string, spec: JsonObject): void {
  if (field(spec, 'terminationGracePeriodSeconds') === undefined)
    faults.required(`${path}.terminationGracePeriodSeconds`);
  const volumes = checkVolumes(faults, `${path}.volumes`, field(spec, 'volumes'));
  checkContainers(faults, `${path}.containers`, field(spec, 'containers'), volumes);
  checkInitContainers(
    faults,
    `${path}.initContainers`,
    field(spec, 'initContainers'),
    field(spec, 'containers'),
    volumes,
  );
  faults.oneOf(`${path}.restartPolicy`, field(spec, 'restartPolicy'), ['Always', 'OnFailure', 'Never']);
  faults.oneOf(`${path}.dnsPolicy`, field(spec, 'dnsPolicy'), [
    'ClusterFirstWithHostNet',
    'ClusterFirst',
    'Default',
    'None',
  ]);
  faults.labels(`${path}.nodeSelector`, field(spec, 'nodeSelector'));
  checkHostNetwork(faults, path, spec);
  checkNames(faults, path, spec);
  const deadline = field(spec, 'activeDeadlineSeconds');
  if (typeof deadline === 'number' && (deadline < 1 || deadline > 2 ** 31 - 1)) {
    faults.invalid(`${path}.activeDeadlineSeconds`, deadline, rangeText(1, 2 ** 31 - 1));
  }
  for (const [index, toleration] of objectsIn(field(spec, 'tolerations')).entries()) {
    checkToleration(faults, `${path}.tolerations[${index}]`, toleration);
  }
}

function checkNames(faults: Faults, path: string, spec: JsonObject): void {
  const rules = [
    ['serviceAccountName', dnsSubdomainFaults],
    ['nodeName', dnsSubdomainFaults],
    ['hostname', dnsLabelFaults],
    ['subdomain', dnsLabelFaults],
    ['priorityClassName', dnsSubdomainFaults],
    ['runtimeClassName', dnsSubdomainFaults],
  ] as const;
  for (const [name, rule] of rules) {
    const value = asString(field(spec, name));
    if (value !== '') faults.named(`${path}.${name}`, value, rule);
  }
}

function checkHostNetwork(faults: Faults, path: string, spec: JsonObject): void {
  if (field(spec, 'hostNetwork') !== true) return;
  for (const [index, container] of objectsIn(field(spec, 'containers')).entries()) {
    for (const [portIndex, port] of objectsIn(field(container, 'ports')).entries()) {
      if (field(port, 'hostPort') === field(port, 'containerPort')) continue;
      const at = `${path}.containers[${index}].ports[${portIndex}].containerPort`;
      faults.invalid(at, field(port, 'containerPort'), 'must match `hostPort` when `hostNetwork` is true');
    }
  }
}

function checkToleration(faults: Faults, path: string, toleration: JsonObject): void {
  const [key, operator, effect, value] = ['key', 'operator', 'effect', 'value'].map((name) =>
    asString(field(toleration, name)),
  );
  if (key !== undefined && key !== '') faults.named(`${path}.key`, key, qualifiedNameFaults);
  else if (operator !== 'Exists') {
    faults.invalid(
      `${path}.operator`,
      operator,
      'operator must be Exists when `key` is empty, which means "match all values and all keys"',
    );
  }
  if (field(toleration, 'tolerationSeconds') !== undefined && effect !== 'NoExecute') {
    faults.invalid(`${path}.effect`, effect, "effect must be 'NoExecute' when `tolerationSeconds` is set");
  }
  if (operator === 'Exists') {
    if (value !== '') faults.invalid(`${path}.operator`, value, "value must be empty when `operator` is 'Exists'");
  } else if (operator === 'Equal' || operator === '') {
    const complaints = labelValueFaults(value ?? '');
    if (complaints.length > 0) faults.invalid(`${path}.operator`, value, complaints.join(';'));
  } else faults.oneOfOrAbsent(`${path}.operator`, operator, ['Equal', 'Exists']);
  faults.oneOfOrAbsent(`${path}.effect`, effect, ['NoSchedule', 'PreferNoSchedule', 'NoExecute']);
}

export function checkPodTemplate(faults: Faults, path: string, template: unknown): void {
  faults.labels(`${path}.labels`, fieldAt(template, 'metadata', 'labels'));
  checkAnnotations(faults, `${path}.annotations`, fieldAt(template, 'metadata', 'annotations'));
  const spec = asObject(field(template, 'spec'));
  checkPodSpec(faults, `${path}.spec`, spec);
  if (asArray(field(spec, 'ephemeralContainers')).length > 0) {
    faults.forbidden(`${path}.spec.ephemeralContainers`, 'ephemeral containers not allowed in pod template');
  }
}

const updatable =
  '`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)';

export function validatePod(
  faults: Faults,
  pod: JsonObject,
  old: JsonObject | undefined,
  subresource: string | undefined,
): void {
  const spec = asObject(field(pod, 'spec'));
  if (old === undefined) {
    checkPodSpec(faults, 'spec', spec);
    return;
  }
  if (subresource !== undefined) return; // status, ephemeral containers, binding: other fields were put back before this
  const before = asObject(field(old, 'spec'));
  for (const name of ['containers', 'initContainers']) {
    if (!haveSameLength(field(spec, name), field(before, name))) {
      faults.forbidden(`spec.${name}`, 'pod updates may not add or remove containers');
      return;
    }
  }
  checkPodSpec(faults, 'spec', spec);
  checkAddedOnly(faults, 'spec.tolerations', field(spec, 'tolerations'), field(before, 'tolerations'));
  if (!deepEqual(frozenPart(spec, before), frozenPart(before, before))) {
    faults.forbidden(
      'spec',
      `pod updates may not change fields other than ${updatable}\n${changedFields(spec, before)}`,
    );
  }
}

function haveSameLength(a: unknown, b: unknown): boolean {
  return asArray(a).length === asArray(b).length;
}

function checkAddedOnly(faults: Faults, path: string, list: unknown, before: unknown): void {
  const missing = asArray(before).some(
    (item) => !asArray(list).some((other) => deepEqual(withoutSeconds(item), withoutSeconds(other))),
  );
  if (missing) faults.forbidden(path, 'existing toleration can not be modified except its tolerationSeconds');
}

function withoutSeconds(item: unknown): unknown {
  return isObject(item) ? withField(item, 'tolerationSeconds', undefined) : item;
}

/** The spec with everything that may change taken from `before`. */
function frozenPart(spec: JsonObject, before: JsonObject): JsonObject {
  const kept: Record<string, unknown> = {};
  for (const name of ['activeDeadlineSeconds', 'tolerations', 'schedulingGates']) kept[name] = field(before, name);
  for (const name of ['containers', 'initContainers']) {
    const list = field(spec, name);
    if (isArray(list)) kept[name] = objectsIn(list).map((container) => withField(container, 'image', ''));
  }
  return { ...spec, ...kept };
}

function changedFields(spec: JsonObject, before: JsonObject): string {
  const names = new Set([...Object.keys(spec), ...Object.keys(before)]);
  const changed = [...names].filter((name) => !deepEqual(field(spec, name), field(before, name)));
  return changed
    .map((name) => `  spec.${name}: ${JSON.stringify(field(before, name))} -> ${JSON.stringify(field(spec, name))}`)
    .join('\n');
}
