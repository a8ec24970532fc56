import {
  asArray,
  asObject,
  asString,
  field,
  fieldAt,
  isObject,
  objectsIn,
  withField,
  withFieldAt,
  type JsonObject,
} from './json.ts';

/** Gives one struct what it lacks; called before its children get theirs. Returns its argument when nothing was missing. */
export type DefaultRule = (object: JsonObject) => JsonObject;

/** Fields that Go holds by pointer: only absence counts as missing, 0 and '' are values. */
function absent(values: JsonObject): DefaultRule {
  return (object) => fill(object, values, (value) => value === undefined);
}

/** Fields that Go holds by value: 0 and '' cannot be told from absence. */
function empty(values: JsonObject): DefaultRule {
  return (object) => fill(object, values, (value) => value === undefined || value === '' || value === 0);
}

function fill(object: JsonObject, values: JsonObject, isMissing: (value: unknown) => boolean): JsonObject {
  const missing = Object.entries(values).filter(
    ([name, value]) => value !== undefined && isMissing(field(object, name)),
  );
  return missing.length === 0 ? object : { ...object, ...Object.fromEntries(missing) };
}

function all(...rules: readonly DefaultRule[]): DefaultRule {
  return (object) => rules.reduce((at, rule) => rule(at), object);
}

/** Applies a rule to a child struct that always exists in Go, making it where it is absent. */
function child(name: string, rule: DefaultRule): DefaultRule {
  return (object) => {
    const before = field(object, name);
    const after = rule(asObject(before));
    return after === before ? object : withField(object, name, after);
  };
}

function when(isTrue: (object: JsonObject) => boolean, rule: DefaultRule): DefaultRule {
  return (object) => (isTrue(object) ? rule(object) : object);
}

const hasType = (type: string) => (object: JsonObject) => field(object, 'type') === type;

/** `Always` for images without tag or with `latest`; a digest pins the image. */
function pullPolicy(image: unknown): string {
  const reference = asString(image);
  if (reference.includes('@')) return 'IfNotPresent';
  const tag = /:([^/:]*)$/.exec(reference)?.[1];
  return tag === undefined || tag === 'latest' ? 'Always' : 'IfNotPresent';
}

const container = all(
  empty({ terminationMessagePath: '/dev/termination-log', terminationMessagePolicy: 'File' }),
  absent({ resources: {} }),
  (object) => empty({ imagePullPolicy: pullPolicy(field(object, 'image')) })(object),
);

const podSpec = all(
  empty({ dnsPolicy: 'ClusterFirst', restartPolicy: 'Always', schedulerName: 'default-scheduler' }),
  absent({ securityContext: {}, terminationGracePeriodSeconds: 30 }),
  (object) => {
    const account = asString(field(object, 'serviceAccountName')) || asString(field(object, 'serviceAccount'));
    return account === '' ? object : empty({ serviceAccountName: account, serviceAccount: account })(object);
  },
);

/** Limits become requests, in pods only: in a template they would show up in every workload. */
const pod = child(
  'spec',
  all(
    absent({ enableServiceLinks: true }),
    eachIn('containers', requestsFromLimits),
    eachIn('initContainers', requestsFromLimits),
    (spec) => (field(spec, 'hostNetwork') === true ? hostPorts(spec) : spec),
  ),
);

function eachIn(name: string, rule: DefaultRule): DefaultRule {
  return (object) => {
    const before = objectsIn(field(object, name));
    const after = before.map(rule);
    return after.some((item, index) => item !== before[index]) ? withField(object, name, after) : object;
  };
}

function requestsFromLimits(item: JsonObject): JsonObject {
  const limits = fieldAt(item, 'resources', 'limits');
  if (!isObject(limits)) return item;
  const requests = asObject(fieldAt(item, 'resources', 'requests'));
  const isComplete = Object.keys(limits).every((name) => Object.hasOwn(requests, name));
  return isComplete ? item : withFieldAt(item, ['resources', 'requests'], { ...limits, ...requests });
}

function hostPorts(spec: JsonObject): JsonObject {
  const port: DefaultRule = (item) => empty({ hostPort: field(item, 'containerPort') })(item);
  return all(eachIn('containers', eachIn('ports', port)), eachIn('initContainers', eachIn('ports', port)))(spec);
}

/** A volume without source is an emptyDir. */
const volume: DefaultRule = (object) =>
  Object.entries(object).some(([name, value]) => name !== 'name' && isObject(value))
    ? object
    : { ...object, emptyDir: {} };

function isReachableFromOutside(spec: JsonObject): boolean {
  const type = field(spec, 'type');
  const hasExternalIps = asArray(field(spec, 'externalIPs')).length > 0;
  return type === 'LoadBalancer' || type === 'NodePort' || (type === 'ClusterIP' && hasExternalIps);
}

const serviceSpec = all(
  empty({ sessionAffinity: 'None', type: 'ClusterIP' }),
  (spec) => (field(spec, 'sessionAffinity') === 'None' ? withoutAffinityConfig(spec) : spec),
  when(
    (spec) =>
      field(spec, 'sessionAffinity') === 'ClientIP' &&
      fieldAt(spec, 'sessionAffinityConfig', 'clientIP', 'timeoutSeconds') === undefined,
    (spec) => ({ ...spec, sessionAffinityConfig: { clientIP: { timeoutSeconds: 10_800 } } }),
  ),
  when(isReachableFromOutside, empty({ externalTrafficPolicy: 'Cluster' })),
  when((spec) => field(spec, 'type') !== 'ExternalName', absent({ internalTrafficPolicy: 'Cluster' })),
  when(hasType('LoadBalancer'), absent({ allocateLoadBalancerNodePorts: true })),
);

function withoutAffinityConfig(spec: JsonObject): JsonObject {
  return field(spec, 'sessionAffinityConfig') === undefined
    ? spec
    : withField(spec, 'sessionAffinityConfig', undefined);
}

const service = all(child('spec', serviceSpec), child('status', absent({ loadBalancer: {} })));

const servicePort = all(empty({ protocol: 'TCP' }), (port) => empty({ targetPort: field(port, 'port') })(port));

const rollingUpdate = (values: JsonObject): DefaultRule =>
  all(empty({ type: 'RollingUpdate' }), when(hasType('RollingUpdate'), child('rollingUpdate', absent(values))));

const deploymentSpec = all(
  absent({ replicas: 1, revisionHistoryLimit: 10, progressDeadlineSeconds: 600 }),
  child('strategy', rollingUpdate({ maxUnavailable: '25%', maxSurge: '25%' })),
);

const statefulSetSpec = all(
  empty({ podManagementPolicy: 'OrderedReady' }),
  absent({ replicas: 1, revisionHistoryLimit: 10, persistentVolumeClaimRetentionPolicy: {} }),
  child('persistentVolumeClaimRetentionPolicy', empty({ whenDeleted: 'Retain', whenScaled: 'Retain' })),
  child('updateStrategy', rollingUpdate({ partition: 0 })),
);

const job: DefaultRule = (object) => {
  const spec = jobSpec(asObject(field(object, 'spec')));
  const labels = fieldAt(spec, 'template', 'metadata', 'labels');
  const own = asObject(fieldAt(object, 'metadata', 'labels'));
  const labelled =
    isObject(labels) && Object.keys(own).length === 0 ? withFieldAt(object, ['metadata', 'labels'], labels) : object;
  return spec === field(object, 'spec') ? labelled : withField(labelled, 'spec', spec);
};

const jobSpec = all(
  when((spec) => field(spec, 'parallelism') === undefined, absent({ completions: 1, parallelism: 1 })),
  (spec) => absent({ backoffLimit: field(spec, 'backoffLimitPerIndex') === undefined ? 6 : 2 ** 31 - 1 })(spec),
  (spec) =>
    absent({ podReplacementPolicy: field(spec, 'podFailurePolicy') === undefined ? 'TerminatingOrFailed' : 'Failed' })(
      spec,
    ),
  absent({ completionMode: 'NonIndexed', suspend: false, manualSelector: false }),
);

/** `stringData` is write-only: its values go to `data`, where they win. */
const secret = all(empty({ type: 'Opaque' }), (object) => {
  const plain = field(object, 'stringData');
  if (!isObject(plain)) return object;
  const encoded = Object.entries(plain).map(([key, value]) => [key, Buffer.from(asString(value)).toString('base64')]);
  const data = { ...asObject(field(object, 'data')), ...Object.fromEntries(encoded) };
  return withField(withField(object, 'stringData', undefined), 'data', data);
});

const namespace = all(
  (object) => {
    const name = asString(fieldAt(object, 'metadata', 'name'));
    const path = ['metadata', 'labels', 'kubernetes.io/metadata.name'];
    return name === '' || fieldAt(object, ...path) === name ? object : withFieldAt(object, path, name);
  },
  child('status', empty({ phase: 'Active' })),
);

const webhook = absent({
  failurePolicy: 'Fail',
  matchPolicy: 'Equivalent',
  namespaceSelector: {},
  objectSelector: {},
  timeoutSeconds: 10,
});

const networkPolicySpec: DefaultRule = (spec) => {
  if (asArray(field(spec, 'policyTypes')).length > 0) return spec;
  const hasEgress = asArray(field(spec, 'egress')).length > 0;
  return { ...spec, policyTypes: hasEgress ? ['Ingress', 'Egress'] : ['Ingress'] };
};

const definition: DefaultRule = (object) => {
  const kind = asString(fieldAt(object, 'spec', 'names', 'kind'));
  const names = kind === '' ? {} : { singular: kind.toLowerCase(), listKind: `${kind}List` };
  const filled = child('spec', all(child('names', empty(names)), absent({ conversion: { strategy: 'None' } })))(object);
  if (asArray(fieldAt(filled, 'status', 'storedVersions')).length > 0) return filled;
  const storage = objectsIn(fieldAt(filled, 'spec', 'versions')).find((version) => field(version, 'storage') === true);
  return storage === undefined ? filled : withFieldAt(filled, ['status', 'storedVersions'], [field(storage, 'name')]);
};

const rbacGroup = 'rbac.authorization.k8s.io';
const roleBinding = child('roleRef', empty({ apiGroup: rbacGroup }));
const subject = when((object) => field(object, 'kind') !== 'ServiceAccount', empty({ apiGroup: rbacGroup }));

/** By model; what stands here is applied wherever the struct occurs. Source: `SetDefaults_*` in k8s.io/kubernetes. */
export const defaultRules: Readonly<Record<string, DefaultRule>> = {
  V1Pod: pod,
  V1PodSpec: podSpec,
  V1Container: container,
  V1EphemeralContainer: container,
  V1ContainerPort: empty({ protocol: 'TCP' }),
  V1Probe: empty({ timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 }),
  V1HTTPGetAction: empty({ path: '/', scheme: 'HTTP' }),
  V1GRPCAction: absent({ service: '' }),
  V1ObjectFieldSelector: empty({ apiVersion: 'v1' }),
  V1ResourceFieldSelector: absent({ divisor: '0' }),
  V1Volume: volume,
  V1SecretVolumeSource: absent({ defaultMode: 420 }),
  V1ConfigMapVolumeSource: absent({ defaultMode: 420 }),
  V1DownwardAPIVolumeSource: absent({ defaultMode: 420 }),
  V1ProjectedVolumeSource: absent({ defaultMode: 420 }),
  V1ServiceAccountTokenProjection: absent({ expirationSeconds: 3600 }),
  V1HostPathVolumeSource: absent({ type: '' }),
  V1ImageVolumeSource: (source) => empty({ pullPolicy: pullPolicy(field(source, 'reference')) })(source),
  V1Service: service,
  V1ServicePort: servicePort,
  CoreV1EndpointPort: empty({ protocol: 'TCP' }),
  DiscoveryV1EndpointPort: absent({ name: '', protocol: 'TCP' }),
  V1Namespace: namespace,
  V1Secret: secret,
  V1PersistentVolumeClaim: all(
    child('spec', absent({ volumeMode: 'Filesystem' })),
    child('status', empty({ phase: 'Pending' })),
  ),
  V1PersistentVolumeSpec: all(empty({ persistentVolumeReclaimPolicy: 'Retain' }), absent({ volumeMode: 'Filesystem' })),
  V1DeploymentSpec: deploymentSpec,
  V1ReplicaSetSpec: absent({ replicas: 1 }),
  V1StatefulSetSpec: statefulSetSpec,
  V1DaemonSetSpec: all(
    absent({ revisionHistoryLimit: 10 }),
    child('updateStrategy', rollingUpdate({ maxUnavailable: 1, maxSurge: 0 })),
  ),
  V1Job: job,
  V1PodFailurePolicyOnPodConditionsPattern: empty({ status: 'True' }),
  V1CronJobSpec: all(
    empty({ concurrencyPolicy: 'Allow' }),
    absent({ suspend: false, successfulJobsHistoryLimit: 3, failedJobsHistoryLimit: 1 }),
  ),
  V2HorizontalPodAutoscalerSpec: absent({ minReplicas: 1 }),
  V1MutatingWebhook: all(webhook, absent({ reinvocationPolicy: 'Never' })),
  V1ValidatingWebhook: webhook,
  V1RuleWithOperations: absent({ scope: '*' }),
  V1NamedRuleWithOperations: absent({ scope: '*' }),
  V1MatchResources: absent({ matchPolicy: 'Equivalent', namespaceSelector: {}, objectSelector: {} }),
  V1ValidatingAdmissionPolicySpec: absent({ failurePolicy: 'Fail' }),
  AdmissionregistrationV1ServiceReference: absent({ port: 443 }),
  ApiextensionsV1ServiceReference: absent({ port: 443 }),
  ApiregistrationV1ServiceReference: absent({ port: 443 }),
  V1CustomResourceDefinition: definition,
  V1NetworkPolicySpec: networkPolicySpec,
  V1NetworkPolicyPort: absent({ protocol: 'TCP' }),
  V1IngressClassParametersReference: absent({ scope: 'Cluster' }),
  V1RoleBinding: roleBinding,
  V1ClusterRoleBinding: roleBinding,
  RbacV1Subject: subject,
  V1PriorityClass: absent({ preemptionPolicy: 'PreemptLowerPriority' }),
  V1StorageClass: absent({ reclaimPolicy: 'Delete', volumeBindingMode: 'Immediate' }),
};
