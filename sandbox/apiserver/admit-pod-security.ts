import type { AdmissionRequest, Validator } from './admission.ts';
import { isJsonObject, type JsonObject, type KubeObject } from './object.ts';
import { metadataOf } from './object-meta.ts';
import { describeViolations, violationsOf } from './pod-security/controls.ts';
import type { PodShape } from './pod-security/pod-shape.ts';
import { formatStandard, isStricter, labelFaults, policyOf, type Policy } from './pod-security/policy.ts';
import { resourceKey } from './registry.ts';
import { forbidden, invalid } from './status-error.ts';
import type { Store } from './store.ts';
import { isDeepStrictEqual } from 'node:util';

/** Where kinds that make pods have the template of one. */
const TEMPLATES: Readonly<Record<string, readonly string[]>> = {
  podtemplates: ['template'],
  replicationcontrollers: ['spec', 'template'],
  'replicasets.apps': ['spec', 'template'],
  'deployments.apps': ['spec', 'template'],
  'statefulsets.apps': ['spec', 'template'],
  'daemonsets.apps': ['spec', 'template'],
  'jobs.batch': ['spec', 'template'],
  'cronjobs.batch': ['spec', 'jobTemplate', 'spec', 'template'],
};

/**
 * Refuses pods that do what their namespace does not allow, and warns of them, of templates of such pods, and of pods that a
 * namespace has already when it becomes stricter. Source: the admission plugin PodSecurity.
 */
export function podSecurity(store: Store): Validator {
  const policyIn = (namespace: string | undefined): Policy =>
    policyOf(store.get('namespaces', undefined, namespace ?? '')?.metadata.labels ?? {});
  return (request) => {
    const { operation, type, subresource, object, current, namespace } = request;
    if (object === undefined || operation === 'DELETE' || subresource !== undefined) return;
    const kind = resourceKey(type);
    if (kind === 'namespaces') return admitNamespace(store, request, object);
    if (kind === 'pods') {
      if (current === undefined || isSignificant(object, current)) admitPod(request, object, policyIn(namespace));
      return;
    }
    const template = TEMPLATES[kind]?.reduce<unknown>(
      (at, field) => (isJsonObject(at) ? at[field] : undefined),
      object,
    );
    if (isJsonObject(template)) warnOf(request, shapeOf(template), policyIn(namespace));
  };
}

function admitPod(request: AdmissionRequest, object: JsonObject, policy: Policy): void {
  const pod = shapeOf(object);
  const violations = violationsOf(pod, policy.enforce);
  if (violations.length > 0) {
    const why = `violates PodSecurity "${formatStandard(policy.enforce)}": ${describeViolations(violations)}`;
    throw forbidden(request.type, request.name, why);
  }
  warnOf(request, pod, policy);
}

function warnOf({ options }: AdmissionRequest, pod: PodShape, { warn }: Policy): void {
  const violations = violationsOf(pod, warn);
  if (violations.length === 0) return;
  options.warn(`would violate PodSecurity "${formatStandard(warn)}": ${describeViolations(violations)}`);
}

/** Labels that mean nothing are refused, unless they were there before. */
function admitNamespace(store: Store, { type, name, current, options }: AdmissionRequest, object: JsonObject): void {
  const labels = labelsOf(object);
  const before = current?.metadata.labels ?? {};
  const faults = labelFaults(labels);
  if (faults.length > 0 && (current === undefined || !isDeepStrictEqual(faults, labelFaults(before))))
    throw invalid(type, name, faults);
  if (current === undefined) return;
  const { enforce } = policyOf(labels);
  if (!isStricter(enforce, policyOf(before).enforce)) return;
  const pods = Map.groupBy(store.list('pods', name), (pod) =>
    violationsOf(shapeOf(pod), enforce)
      .map(({ reason }) => reason)
      .join(', '),
  );
  pods.delete('');
  if (pods.size === 0) return;
  options.warn(
    `existing pods in namespace "${name}" violate the new PodSecurity enforce level "${formatStandard(enforce)}"`,
  );
  for (const warning of [...pods].map(([reasons, same]) => `${namesOf(same)}: ${reasons}`).sort())
    options.warn(warning);
}

/** `web-0 (and 2 other pods)` */
function namesOf(pods: readonly KubeObject[]): string {
  const [first = '', ...others] = pods.map(({ metadata }) => metadata.name).sort();
  if (others.length === 0) return first;
  return `${first} (and ${others.length} other pod${others.length === 1 ? '' : 's'})`;
}

/** Of what may change in a pod only images matter. Containers come and go with a subresource. */
function isSignificant(next: JsonObject, current: JsonObject): boolean {
  const images = ({ spec }: JsonObject): readonly unknown[] =>
    ['containers', 'initContainers'].map((field) => {
      const list = isJsonObject(spec) ? spec[field] : undefined;
      return Array.isArray(list) ? list.filter(isJsonObject).map(({ image }) => image) : [];
    });
  return !isDeepStrictEqual(images(next), images(current));
}

function shapeOf(object: JsonObject): PodShape {
  const { annotations } = metadataOf(object);
  return {
    annotations: isJsonObject(annotations) ? (annotations as Record<string, string>) : {},
    spec: isJsonObject(object['spec']) ? object['spec'] : {},
  };
}

function labelsOf(object: JsonObject): Readonly<Record<string, string>> {
  const { labels } = metadataOf(object);
  return isJsonObject(labels) ? (labels as Record<string, string>) : {};
}
