import type { JsonObject, NewObject } from './object.ts';

/**
 * Roles that every cluster has, by the names people and manifests refer to. Source: `pkg/auth/authorizer/rbac/bootstrappolicy`
 * of Kubernetes, cut down to the kinds this server knows. admin, edit and view are filled by aggregation, so that a
 * ClusterRole with the label adds to them.
 */
const READ = ['get', 'list', 'watch'];
const WRITE = ['create', 'delete', 'deletecollection', 'patch', 'update'];
const AGGREGATE = 'rbac.authorization.k8s.io/aggregate-to-';
const LABELS = { 'kubernetes.io/bootstrapping': 'rbac-defaults' };
const GROUP = 'rbac.authorization.k8s.io';

function rule(groups: string, resources: string, verbs: readonly string[], names: readonly string[] = []): JsonObject {
  return {
    apiGroups: groups.split(',').map((group) => (group === 'core' ? '' : group)),
    resources: resources.split(','),
    ...(names.length === 0 ? {} : { resourceNames: names }),
    verbs,
  };
}

function paths(urls: readonly string[], verbs: readonly string[] = ['get']): JsonObject {
  return { nonResourceURLs: urls, verbs };
}

type Role = { name: string; rules: readonly JsonObject[]; into?: readonly string[]; from?: readonly string[] };

const workloads =
  'daemonsets,deployments,deployments/scale,replicasets,replicasets/scale,statefulsets,statefulsets/scale';

const roles: readonly Role[] = [
  { name: 'cluster-admin', rules: [rule('*', '*', ['*']), paths(['*'], ['*'])] },
  { name: 'admin', rules: [], from: ['admin'] },
  { name: 'edit', rules: [], from: ['edit'], into: ['admin'] },
  { name: 'view', rules: [], from: ['view'], into: ['edit'] },
  {
    name: 'system:aggregate-to-admin',
    into: ['admin'],
    rules: [
      rule('authorization.k8s.io', 'localsubjectaccessreviews', ['create']),
      rule(GROUP, 'rolebindings,roles', [...READ, ...WRITE]),
    ],
  },
  {
    name: 'system:aggregate-to-edit',
    into: ['edit'],
    rules: [
      rule('core', 'pods/attach,pods/exec,pods/portforward,pods/proxy,secrets,services/proxy', READ),
      rule('core', 'serviceaccounts', ['impersonate']),
      rule('core', 'pods,pods/attach,pods/exec,pods/portforward,pods/proxy', WRITE),
      rule('core', 'pods/eviction', ['create']),
      rule('core', 'configmaps,events,secrets,serviceaccounts,services,services/proxy', WRITE),
      rule('core', 'serviceaccounts/token', ['create']),
      rule('apps', workloads, WRITE),
      rule('batch', 'cronjobs,jobs', WRITE),
      rule('networking.k8s.io', 'ingresses,networkpolicies', WRITE),
      rule('policy', 'poddisruptionbudgets', WRITE),
      rule('coordination.k8s.io', 'leases', [...READ, ...WRITE]),
    ],
  },
  {
    name: 'system:aggregate-to-view',
    into: ['view'],
    rules: [
      rule('core', 'configmaps,endpoints,pods,serviceaccounts,services,services/status', READ),
      rule('core', 'bindings,events,namespaces,namespaces/status,pods/log,pods/status', READ),
      rule('discovery.k8s.io', 'endpointslices', READ),
      rule(
        'apps',
        `controllerrevisions,daemonsets/status,deployments/status,replicasets/status,statefulsets/status,${workloads}`,
        READ,
      ),
      rule('batch', 'cronjobs,cronjobs/status,jobs,jobs/status', READ),
      rule('networking.k8s.io', 'ingresses,ingresses/status,networkpolicies', READ),
      rule('policy', 'poddisruptionbudgets,poddisruptionbudgets/status', READ),
    ],
  },
  {
    name: 'system:basic-user',
    rules: [
      rule('authorization.k8s.io', 'selfsubjectaccessreviews,selfsubjectrulesreviews', ['create']),
      rule('authentication.k8s.io', 'selfsubjectreviews', ['create']),
    ],
  },
  {
    name: 'system:discovery',
    rules: [
      paths(['/api', '/api/*', '/apis', '/apis/*', '/healthz', '/livez', '/openapi', '/openapi/*', '/readyz']),
      paths(['/version', '/version/']),
    ],
  },
  {
    name: 'system:public-info-viewer',
    rules: [paths(['/healthz', '/livez', '/readyz', '/version', '/version/'])],
  },
  {
    name: 'system:service-account-issuer-discovery',
    rules: [
      paths([
        '/.well-known/openid-configuration',
        '/.well-known/openid-configuration/',
        '/openid/v1/jwks',
        '/openid/v1/jwks/',
      ]),
    ],
  },
  {
    name: 'system:auth-delegator',
    rules: [
      rule('authentication.k8s.io', 'tokenreviews', ['create']),
      rule('authorization.k8s.io', 'subjectaccessreviews', ['create']),
    ],
  },
  {
    name: 'system:node-proxier',
    rules: [
      rule('core', 'endpoints,services', ['list', 'watch']),
      rule('core', 'nodes', READ),
      rule('discovery.k8s.io', 'endpointslices', ['list', 'watch']),
    ],
  },
];

type Binding = { name: string; role: string; groups: readonly string[] };

const bindings: readonly Binding[] = [
  { name: 'cluster-admin', role: 'cluster-admin', groups: ['system:masters'] },
  { name: 'system:basic-user', role: 'system:basic-user', groups: ['system:authenticated'] },
  { name: 'system:discovery', role: 'system:discovery', groups: ['system:authenticated'] },
  {
    name: 'system:public-info-viewer',
    role: 'system:public-info-viewer',
    groups: ['system:authenticated', 'system:unauthenticated'],
  },
  {
    name: 'system:service-account-issuer-discovery',
    role: 'system:service-account-issuer-discovery',
    groups: ['system:serviceaccounts'],
  },
];

export const bootstrapClusterRoles: readonly NewObject[] = roles.map(({ name, rules, into = [], from = [] }) => ({
  metadata: {
    name,
    labels: { ...LABELS, ...Object.fromEntries(into.map((role) => [AGGREGATE + role, 'true'])) },
  },
  ...(from.length === 0
    ? {}
    : {
        aggregationRule: {
          clusterRoleSelectors: from.map((role) => ({ matchLabels: { [AGGREGATE + role]: 'true' } })),
        },
      }),
  rules,
}));

export const bootstrapClusterRoleBindings: readonly NewObject[] = bindings.map(({ name, role, groups }) => ({
  metadata: { name, labels: LABELS },
  roleRef: { apiGroup: GROUP, kind: 'ClusterRole', name: role },
  subjects: groups.map((group) => ({ apiGroup: GROUP, kind: 'Group', name: group })),
}));
