import type { FieldCause } from './field-error.ts';
import type { JsonObject } from './json.ts';
import type { TypeName } from './strict-fields.ts';
import {
  validateConfigMap,
  validateDisruptionBudget,
  validateEndpointSlice,
  validateIngress,
  validateLease,
  validateNetworkPolicy,
  validatePriorityClass,
  validateSecret,
} from './validate/configuration.ts';
import { validateDefinition } from './validate/definition.ts';
import { Faults } from './validate/faults.ts';
import { validateCronJob, validateJob } from './validate/jobs.ts';
import { validateMetadata } from './validate/metadata.ts';
import { validatePod } from './validate/pod.ts';
import { validateBinding, validateRole } from './validate/rbac.ts';
import { validateService } from './validate/service.ts';
import { validateWebhooks } from './validate/webhooks.ts';
import {
  validateDaemonSet,
  validateDeployment,
  validateReplicaSet,
  validateStatefulSet,
} from './validate/workloads.ts';

type Validator = (
  faults: Faults,
  object: JsonObject,
  old: JsonObject | undefined,
  subresource: string | undefined,
) => void;

/** By `<group>/<kind>`. Kinds that are not here are checked by their metadata only. */
const validators: Readonly<Record<string, Validator>> = {
  '/Pod': validatePod,
  '/Service': validateService,
  '/ConfigMap': validateConfigMap,
  '/Secret': validateSecret,
  'apps/Deployment': validateDeployment,
  'apps/ReplicaSet': validateReplicaSet,
  'apps/StatefulSet': validateStatefulSet,
  'apps/DaemonSet': validateDaemonSet,
  'batch/Job': validateJob,
  'batch/CronJob': validateCronJob,
  'policy/PodDisruptionBudget': validateDisruptionBudget,
  'discovery.k8s.io/EndpointSlice': validateEndpointSlice,
  'networking.k8s.io/Ingress': validateIngress,
  'networking.k8s.io/NetworkPolicy': validateNetworkPolicy,
  'coordination.k8s.io/Lease': validateLease,
  'scheduling.k8s.io/PriorityClass': validatePriorityClass,
  'rbac.authorization.k8s.io/Role': (faults, object) => validateRole(faults, object, true),
  'rbac.authorization.k8s.io/ClusterRole': (faults, object) => validateRole(faults, object, false),
  'rbac.authorization.k8s.io/RoleBinding': (faults, object, old) => validateBinding(faults, object, old, true),
  'rbac.authorization.k8s.io/ClusterRoleBinding': (faults, object, old) => validateBinding(faults, object, old, false),
  'admissionregistration.k8s.io/MutatingWebhookConfiguration': validateWebhooks,
  'admissionregistration.k8s.io/ValidatingWebhookConfiguration': validateWebhooks,
  'apiextensions.k8s.io/CustomResourceDefinition': validateDefinition,
};

/**
 * Checks an object of a built-in kind (decoded and with defaults), or the metadata of a custom resource.
 *
 * @param old          the object before an update; undefined for a new object
 * @param subresource  `status` and the like: only metadata is checked, the rest was put back from `old` before
 * @returns what is wrong, empty when all is fine
 */
export function validateObject(
  type: TypeName,
  object: JsonObject,
  old?: JsonObject,
  subresource?: string,
): readonly FieldCause[] {
  const faults = new Faults();
  validateMetadata(faults, type, object, old);
  const key = `${type.group}/${type.kind}`;
  const validator = Object.hasOwn(validators, key) ? validators[key] : undefined;
  if (subresource === undefined || old === undefined) validator?.(faults, object, old, subresource);
  return faults.causes;
}
