import type { ResourceType, Subresource } from './registry.ts';

const STORED_VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'] as const;
const REVIEW_VERBS = ['create'] as const;
const STATUS_VERBS = ['get', 'patch', 'update'] as const;

/** What differs from the usual: namespaced, stored, no status, no scale, generation counted. */
type Row = {
  kind: string;
  plural: string;
  shortNames?: readonly string[];
  categories?: readonly string[];
  cluster?: true; // cluster-scoped
  status?: true;
  scale?: true;
  noGeneration?: true; // never has metadata.generation
  review?: true; // answered, not stored
  verbs?: readonly string[];
  subresources?: readonly Subresource[];
};

function sub(name: string, apiVersion: string, kind: string, ...verbs: string[]): Subresource {
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['', apiVersion];
  return { name, group: group ?? '', version: version ?? '', kind, verbs };
}

function expand(group: string, version: string, row: Row): ResourceType {
  const subresources = [...(row.subresources ?? [])];
  if (row.scale) subresources.push(sub('scale', 'autoscaling/v1', 'Scale', ...STATUS_VERBS));
  if (row.status) subresources.push({ name: 'status', group, version, kind: row.kind, verbs: STATUS_VERBS });
  return {
    group,
    version,
    kind: row.kind,
    plural: row.plural,
    singular: row.kind.toLowerCase(),
    listKind: `${row.kind}List`,
    shortNames: row.shortNames ?? [],
    categories: row.categories ?? [],
    isNamespaced: row.cluster !== true,
    hasStatus: row.status === true,
    hasScale: row.scale === true,
    hasGeneration: row.noGeneration !== true && row.review !== true,
    subresources,
    verbs: row.verbs ?? (row.review ? REVIEW_VERBS : STORED_VERBS),
  };
}

const all = ['all'] as const;
const extensions = ['api-extensions'] as const;

const core: readonly Row[] = [
  { kind: 'ConfigMap', plural: 'configmaps', shortNames: ['cm'], noGeneration: true },
  { kind: 'Endpoints', plural: 'endpoints', shortNames: ['ep'], noGeneration: true },
  { kind: 'Event', plural: 'events', shortNames: ['ev'], noGeneration: true },
  {
    kind: 'Namespace',
    plural: 'namespaces',
    shortNames: ['ns'],
    cluster: true,
    status: true,
    noGeneration: true,
    verbs: STORED_VERBS.filter((verb) => verb !== 'deletecollection'),
    subresources: [sub('finalize', 'v1', 'Namespace', 'update')],
  },
  { kind: 'Node', plural: 'nodes', shortNames: ['no'], cluster: true, status: true, noGeneration: true },
  {
    kind: 'Pod',
    plural: 'pods',
    shortNames: ['po'],
    categories: all,
    status: true,
    noGeneration: true,
    subresources: [
      sub('attach', 'v1', 'PodAttachOptions', 'create', 'get'),
      sub('binding', 'v1', 'Binding', 'create'),
      sub('eviction', 'policy/v1', 'Eviction', 'create'),
      sub('exec', 'v1', 'PodExecOptions', 'create', 'get'),
      sub('log', 'v1', 'Pod', 'get'),
      sub('portforward', 'v1', 'PodPortForwardOptions', 'create', 'get'),
    ],
  },
  { kind: 'Secret', plural: 'secrets', noGeneration: true },
  {
    kind: 'ServiceAccount',
    plural: 'serviceaccounts',
    shortNames: ['sa'],
    noGeneration: true,
    subresources: [sub('token', 'authentication.k8s.io/v1', 'TokenRequest', 'create')],
  },
  {
    kind: 'Service',
    plural: 'services',
    shortNames: ['svc'],
    categories: all,
    status: true,
    noGeneration: true,
  },
];

const apps: readonly Row[] = [
  { kind: 'ControllerRevision', plural: 'controllerrevisions', noGeneration: true },
  { kind: 'DaemonSet', plural: 'daemonsets', shortNames: ['ds'], categories: all, status: true },
  { kind: 'Deployment', plural: 'deployments', shortNames: ['deploy'], categories: all, status: true, scale: true },
  { kind: 'ReplicaSet', plural: 'replicasets', shortNames: ['rs'], categories: all, status: true, scale: true },
  { kind: 'StatefulSet', plural: 'statefulsets', shortNames: ['sts'], categories: all, status: true, scale: true },
];

const batch: readonly Row[] = [
  { kind: 'CronJob', plural: 'cronjobs', shortNames: ['cj'], categories: all, status: true },
  { kind: 'Job', plural: 'jobs', categories: all, status: true },
];

const rbac: readonly Row[] = [
  { kind: 'ClusterRoleBinding', plural: 'clusterrolebindings', cluster: true, noGeneration: true },
  { kind: 'ClusterRole', plural: 'clusterroles', cluster: true, noGeneration: true },
  { kind: 'RoleBinding', plural: 'rolebindings', noGeneration: true },
  { kind: 'Role', plural: 'roles', noGeneration: true },
];

const admission: readonly Row[] = [
  {
    kind: 'MutatingWebhookConfiguration',
    plural: 'mutatingwebhookconfigurations',
    categories: extensions,
    cluster: true,
  },
  {
    kind: 'ValidatingAdmissionPolicy',
    plural: 'validatingadmissionpolicies',
    categories: extensions,
    cluster: true,
    status: true,
  },
  {
    kind: 'ValidatingAdmissionPolicyBinding',
    plural: 'validatingadmissionpolicybindings',
    categories: extensions,
    cluster: true,
  },
  {
    kind: 'ValidatingWebhookConfiguration',
    plural: 'validatingwebhookconfigurations',
    categories: extensions,
    cluster: true,
  },
];

const networking: readonly Row[] = [
  { kind: 'IngressClass', plural: 'ingressclasses', cluster: true },
  { kind: 'Ingress', plural: 'ingresses', shortNames: ['ing'], status: true },
  { kind: 'NetworkPolicy', plural: 'networkpolicies', shortNames: ['netpol'] },
];

const definitions: readonly Row[] = [
  {
    kind: 'CustomResourceDefinition',
    plural: 'customresourcedefinitions',
    shortNames: ['crd', 'crds'],
    categories: extensions,
    cluster: true,
    status: true,
  },
];

const authentication: readonly Row[] = [
  { kind: 'SelfSubjectReview', plural: 'selfsubjectreviews', cluster: true, review: true },
  { kind: 'TokenReview', plural: 'tokenreviews', cluster: true, review: true },
];

const authorization: readonly Row[] = [
  { kind: 'LocalSubjectAccessReview', plural: 'localsubjectaccessreviews', review: true },
  { kind: 'SelfSubjectAccessReview', plural: 'selfsubjectaccessreviews', cluster: true, review: true },
  { kind: 'SelfSubjectRulesReview', plural: 'selfsubjectrulesreviews', cluster: true, review: true },
  { kind: 'SubjectAccessReview', plural: 'subjectaccessreviews', cluster: true, review: true },
];

const groups: readonly (readonly [group: string, version: string, rows: readonly Row[]])[] = [
  ['', 'v1', core],
  ['apps', 'v1', apps],
  ['events.k8s.io', 'v1', [{ kind: 'Event', plural: 'events', shortNames: ['ev'], noGeneration: true }]],
  ['authentication.k8s.io', 'v1', authentication],
  ['authorization.k8s.io', 'v1', authorization],
  ['batch', 'v1', batch],
  ['networking.k8s.io', 'v1', networking],
  [
    'policy',
    'v1',
    [{ kind: 'PodDisruptionBudget', plural: 'poddisruptionbudgets', shortNames: ['pdb'], status: true }],
  ],
  ['rbac.authorization.k8s.io', 'v1', rbac],
  ['admissionregistration.k8s.io', 'v1', admission],
  ['apiextensions.k8s.io', 'v1', definitions],
  [
    'scheduling.k8s.io',
    'v1',
    [{ kind: 'PriorityClass', plural: 'priorityclasses', shortNames: ['pc'], cluster: true }],
  ],
  ['coordination.k8s.io', 'v1', [{ kind: 'Lease', plural: 'leases', noGeneration: true }]],
  ['discovery.k8s.io', 'v1', [{ kind: 'EndpointSlice', plural: 'endpointslices' }]],
];

/**
 * Every built-in kind the sandbox serves, in discovery order. Kinds that need a controller or enforcement the sandbox has
 * not (quotas, volumes claims, autoscalers) are left out, so that asking for them says 404 instead of pretending.
 * `events` and `events.events.k8s.io` are two views of one store.
 */
export const builtinResources: readonly ResourceType[] = groups.flatMap(([group, version, rows]) =>
  rows.map((row) => expand(group, version, row)),
);
