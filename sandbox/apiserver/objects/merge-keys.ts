/**
 * How lists and maps of built-in kinds merge, by `<model>.<field>`.
 *
 * Sources: struct tags `patchStrategy` and `patchMergeKey` of k8s.io/api (strategic merge patch); list types, list keys and
 * atomic markers of the API's OpenAPI document (server-side apply). What is not listed: strategic merge replaces a list and
 * merges an object; server-side apply owns a list as a whole and an object field by field.
 */

/** Merge key per list; '' for lists of scalars that merge as a set. */
const strategicKeys: Readonly<Record<string, string>> = {
  'V1APIServiceStatus.conditions': 'type',
  'V1CSINodeSpec.drivers': 'name',
  'V1Container.env': 'name',
  'V1Container.ports': 'containerPort',
  'V1Container.volumeDevices': 'devicePath',
  'V1Container.volumeMounts': 'mountPath',
  'V1ContainerStatus.allocatedResourcesStatus': 'name',
  'V1ContainerStatus.volumeMounts': 'mountPath',
  'V1DaemonSetStatus.conditions': 'type',
  'V1DeploymentStatus.conditions': 'type',
  'V1EphemeralContainer.env': 'name',
  'V1EphemeralContainer.ports': 'containerPort',
  'V1EphemeralContainer.volumeDevices': 'devicePath',
  'V1EphemeralContainer.volumeMounts': 'mountPath',
  'V1FlowSchemaStatus.conditions': 'type',
  'V1JSONSchemaProps.x-kubernetes-validations': 'rule',
  'V1JobStatus.conditions': 'type',
  'V1MutatingWebhook.matchConditions': 'name',
  'V1MutatingWebhookConfiguration.webhooks': 'name',
  'V1NamespaceStatus.conditions': 'type',
  'V1NodeSpec.podCIDRs': '',
  'V1NodeStatus.addresses': 'type',
  'V1NodeStatus.conditions': 'type',
  'V1ObjectMeta.finalizers': '',
  'V1ObjectMeta.ownerReferences': 'uid',
  'V1PersistentVolumeClaimStatus.conditions': 'type',
  'V1PodDisruptionBudgetStatus.conditions': 'type',
  'V1PodSpec.containers': 'name',
  'V1PodSpec.ephemeralContainers': 'name',
  'V1PodSpec.hostAliases': 'ip',
  'V1PodSpec.imagePullSecrets': 'name',
  'V1PodSpec.initContainers': 'name',
  'V1PodSpec.resourceClaims': 'name',
  'V1PodSpec.schedulingGates': 'name',
  'V1PodSpec.topologySpreadConstraints': 'topologyKey',
  'V1PodSpec.volumes': 'name',
  'V1PodStatus.conditions': 'type',
  'V1PodStatus.hostIPs': 'ip',
  'V1PodStatus.podIPs': 'ip',
  'V1PodStatus.resourceClaimStatuses': 'name',
  'V1ReplicaSetStatus.conditions': 'type',
  'V1ReplicationControllerStatus.conditions': 'type',
  'V1ServiceAccount.secrets': 'name',
  'V1ServiceCIDRStatus.conditions': 'type',
  'V1ServiceSpec.ports': 'port',
  'V1ServiceStatus.conditions': 'type',
  'V1StatefulSetStatus.conditions': 'type',
  'V1ValidatingAdmissionPolicySpec.matchConditions': 'name',
  'V1ValidatingAdmissionPolicySpec.variables': 'name',
  'V1ValidatingWebhook.matchConditions': 'name',
  'V1ValidatingWebhookConfiguration.webhooks': 'name',
  'V2HorizontalPodAutoscalerStatus.conditions': 'type',
};

/** Objects that a strategic merge patch replaces as a whole. */
const strategicReplace = new Set(['V1PodDisruptionBudgetSpec.selector']);

/** Keys that identify an item under server-side apply; an empty list of keys: a set of scalars. */
const applyKeys: Readonly<Record<string, readonly string[]>> = {
  'V1APIServiceStatus.conditions': ['type'],
  'V1CSIDriverSpec.volumeLifecycleModes': [],
  'V1CSINodeSpec.drivers': ['name'],
  'V1CertificateSigningRequestStatus.conditions': ['type'],
  'V1Container.env': ['name'],
  'V1Container.ports': ['containerPort', 'protocol'],
  'V1Container.volumeDevices': ['devicePath'],
  'V1Container.volumeMounts': ['mountPath'],
  'V1ContainerStatus.allocatedResourcesStatus': ['name'],
  'V1ContainerStatus.volumeMounts': ['mountPath'],
  'V1CustomResourceDefinitionStatus.conditions': ['type'],
  'V1DaemonSetStatus.conditions': ['type'],
  'V1DeploymentStatus.conditions': ['type'],
  'V1Endpoint.addresses': [],
  'V1EphemeralContainer.env': ['name'],
  'V1EphemeralContainer.ports': ['containerPort', 'protocol'],
  'V1EphemeralContainer.volumeDevices': ['devicePath'],
  'V1EphemeralContainer.volumeMounts': ['mountPath'],
  'V1FlowSchemaStatus.conditions': ['type'],
  'V1JSONSchemaProps.x-kubernetes-validations': ['rule'],
  'V1MutatingWebhook.matchConditions': ['name'],
  'V1MutatingWebhookConfiguration.webhooks': ['name'],
  'V1NamespaceStatus.conditions': ['type'],
  'V1NodeSpec.podCIDRs': [],
  'V1NodeStatus.addresses': ['type'],
  'V1NodeStatus.conditions': ['type'],
  'V1ObjectMeta.finalizers': [],
  'V1ObjectMeta.ownerReferences': ['uid'],
  'V1PersistentVolumeClaimStatus.conditions': ['type'],
  'V1PodDisruptionBudgetStatus.conditions': ['type'],
  'V1PodFailurePolicyOnExitCodesRequirement.values': [],
  'V1PodSpec.containers': ['name'],
  'V1PodSpec.ephemeralContainers': ['name'],
  'V1PodSpec.hostAliases': ['ip'],
  'V1PodSpec.imagePullSecrets': ['name'],
  'V1PodSpec.initContainers': ['name'],
  'V1PodSpec.resourceClaims': ['name'],
  'V1PodSpec.schedulingGates': ['name'],
  'V1PodSpec.topologySpreadConstraints': ['topologyKey', 'whenUnsatisfiable'],
  'V1PodSpec.volumes': ['name'],
  'V1PodStatus.conditions': ['type'],
  'V1PodStatus.podIPs': ['ip'],
  'V1PodStatus.resourceClaimStatuses': ['name'],
  'V1ReplicaSetStatus.conditions': ['type'],
  'V1ReplicationControllerStatus.conditions': ['type'],
  'V1ResourceRequirements.claims': ['name'],
  'V1ResourceStatus.resources': ['resourceID'],
  'V1ServiceAccount.secrets': ['name'],
  'V1ServiceCIDRStatus.conditions': ['type'],
  'V1ServiceSpec.ports': ['port', 'protocol'],
  'V1ServiceStatus.conditions': ['type'],
  'V1StatefulSetStatus.conditions': ['type'],
  'V1UncountedTerminatedPods.failed': [],
  'V1UncountedTerminatedPods.succeeded': [],
  'V1ValidatingAdmissionPolicyBindingSpec.validationActions': [],
  'V1ValidatingAdmissionPolicySpec.matchConditions': ['name'],
  'V1ValidatingAdmissionPolicySpec.variables': ['name'],
  'V1ValidatingAdmissionPolicyStatus.conditions': ['type'],
  'V1ValidatingWebhook.matchConditions': ['name'],
  'V1ValidatingWebhookConfiguration.webhooks': ['name'],
  'V2HorizontalPodAutoscalerStatus.conditions': ['type'],
};

/** Structs, and maps as `<model>.<field>`, that server-side apply owns as a whole. */
const applyAtomic = new Set([
  'CoreV1EndpointPort',
  'DiscoveryV1EndpointPort',
  'RbacV1Subject',
  'V1ConfigMapKeySelector',
  'V1CrossVersionObjectReference',
  'V1EndpointAddress',
  'V1LabelSelector',
  'V1LocalObjectReference',
  'V1MatchResources',
  'V1NamedRuleWithOperations',
  'V1NodeSelector',
  'V1NodeSelectorTerm',
  'V1ObjectFieldSelector',
  'V1ObjectReference',
  'V1OwnerReference',
  'V1ParamKind',
  'V1ParamRef',
  'V1PodSpec.nodeSelector',
  'V1ReplicationControllerSpec.selector',
  'V1ResourceFieldSelector',
  'V1RoleRef',
  'V1Scheduling.nodeSelector',
  'V1ScopeSelector',
  'V1SecretKeySelector',
  'V1SecretReference',
  'V1ServiceBackendPort',
  'V1ServiceSpec.selector',
  'V1TopologySelectorTerm',
  'V1TypedLocalObjectReference',
  'V1Variable',
]);

/** Values of list keys that an item may leave out. */
const keyDefaults: Readonly<Record<string, unknown>> = { protocol: 'TCP' };

export type StrategicList =
  | { readonly kind: 'replace' }
  | { readonly kind: 'set' }
  | { readonly kind: 'map'; readonly key: string };

export type ApplyList =
  | { readonly kind: 'atomic' }
  | { readonly kind: 'set' }
  | { readonly kind: 'map'; readonly keys: readonly string[]; readonly defaults: Readonly<Record<string, unknown>> };

export function strategicList(model: string, field: string): StrategicList {
  const path = `${model}.${field}`;
  const key = Object.hasOwn(strategicKeys, path) ? strategicKeys[path] : undefined;
  if (key === undefined) return { kind: 'replace' };
  return key === '' ? { kind: 'set' } : { kind: 'map', key };
}

export function isReplacedByStrategicMerge(model: string, field: string): boolean {
  return strategicReplace.has(`${model}.${field}`);
}

export function applyList(model: string, field: string): ApplyList {
  const path = `${model}.${field}`;
  const keys = Object.hasOwn(applyKeys, path) ? applyKeys[path] : undefined;
  if (keys === undefined) return { kind: 'atomic' };
  return keys.length === 0 ? { kind: 'set' } : { kind: 'map', keys, defaults: keyDefaults };
}

/** @param path  a model (`V1LabelSelector`) or a map field (`V1ServiceSpec.selector`) */
export function isAtomicUnderApply(path: string): boolean {
  return applyAtomic.has(path);
}
