import type { Cluster } from '../cluster.ts';
import { Finding, type Category } from './check.ts';

export const MIN_MINOR = 29; // native sidecars are on by default since Kubernetes 1.29

export function kubernetesChecks(cluster: Cluster): readonly Category[] {
  return [
    {
      name: 'kubernetes-api',
      checks: [
        {
          description: 'can query the Kubernetes API',
          hint: '`kubectl cluster-info` must work with the same kubeconfig',
          severity: 'fatal',
          run: async () => void (await cluster.get('/version')),
        },
      ],
    },
    {
      name: 'kubernetes-version',
      checks: [
        {
          description: `is running the minimum Kubernetes API version (1.${MIN_MINOR}.0)`,
          hint: 'the proxy is a native sidecar, which older versions do not know: upgrade the cluster',
          severity: 'fatal',
          run: async () => {
            const answer = (await cluster.get('/version')) as unknown as {
              major: string;
              minor: string;
              gitVersion: string;
            };
            if (Number(answer.major) === 1 && Number.parseInt(answer.minor, 10) < MIN_MINOR)
              throw new Finding(`the cluster runs ${answer.gitVersion}`);
          },
        },
      ],
    },
  ];
}

type CreatedKind = readonly [group: string, resource: string, isNamespaced: boolean];

/** Kinds that the manifest creates; the caller of `tulle install` must be allowed to. */
const CREATED: readonly [CreatedKind, ...CreatedKind[]] = [
  ['', 'namespaces', false],
  ['apiextensions.k8s.io', 'customresourcedefinitions', false],
  ['rbac.authorization.k8s.io', 'clusterroles', false],
  ['rbac.authorization.k8s.io', 'clusterrolebindings', false],
  ['admissionregistration.k8s.io', 'mutatingwebhookconfigurations', false],
  ['admissionregistration.k8s.io', 'validatingwebhookconfigurations', false],
  ['rbac.authorization.k8s.io', 'roles', true],
  ['rbac.authorization.k8s.io', 'rolebindings', true],
  ['', 'serviceaccounts', true],
  ['', 'services', true],
  ['', 'configmaps', true],
  ['apps', 'deployments', true],
];

const AGENTS: CreatedKind = ['apps', 'daemonsets', true];

/**
 * What must hold before an installation.
 *
 * @param hasAgents  with agents that redirect pods from the nodes
 */
export function preInstallChecks(cluster: Cluster, namespace: string, hasAgents: boolean): readonly Category[] {
  return [
    {
      name: 'pre-kubernetes-setup',
      checks: [
        {
          description: 'control plane namespace does not already exist',
          hint: `Tulle is installed already: use \`tulle check\`, or delete the namespace ${namespace}`,
          severity: 'error',
          run: async () => {
            if ((await cluster.find(`/api/v1/namespaces/${namespace}`)) !== undefined)
              throw new Finding(`the namespace "${namespace}" exists`);
          },
        },
        {
          description: 'can ask what this user may do',
          hint: 'the API server must allow selfsubjectaccessreviews: use a user of the cluster, not an anonymous one',
          severity: 'fatal',
          run: async () => void (await mayCreate(cluster, namespace, CREATED[0])),
        },
        ...[...CREATED, ...(hasAgents ? [AGENTS] : [])].map((kind) => ({
          description: `can create ${kind[1]}`,
          hint: 'ask for the rights of cluster-admin, or let an administrator apply the manifest',
          severity: 'error' as const,
          run: async () => {
            const { allowed, reason = '' } = await mayCreate(cluster, namespace, kind);
            if (allowed === true) return;
            const [group, resource] = kind;
            throw new Finding(
              `not authorized to create ${resource}${group === '' ? '' : `.${group}`} ${reason}`.trim(),
            );
          },
        })),
      ],
    },
  ];
}

async function mayCreate(
  cluster: Cluster,
  namespace: string,
  [group, resource, isNamespaced]: CreatedKind,
): Promise<{ readonly allowed?: boolean; readonly reason?: string }> {
  const answer = (await cluster.request('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectAccessReview',
    spec: { resourceAttributes: { verb: 'create', group, resource, ...(isNamespaced ? { namespace } : {}) } },
  })) as { status?: { allowed?: boolean; reason?: string } };
  return answer.status ?? {};
}
