import type { ApiObject, Cluster } from './cluster.ts';
import { CommandError, UsageError } from './command.ts';

export type Kind = {
  readonly name: string;
  readonly short: readonly string[];
  readonly path: string;
  readonly isNamespaced: boolean;
};

/** Workload kinds and their short names. Source: linkerd2 `pkg/k8s/k8s.go`. */
export const WORKLOAD_KINDS: readonly Kind[] = [
  { name: 'deployment', short: ['deploy', 'deployments'], path: '/apis/apps/v1', isNamespaced: true },
  { name: 'statefulset', short: ['sts', 'statefulsets'], path: '/apis/apps/v1', isNamespaced: true },
  { name: 'daemonset', short: ['ds', 'daemonsets'], path: '/apis/apps/v1', isNamespaced: true },
  { name: 'replicaset', short: ['rs', 'replicasets'], path: '/apis/apps/v1', isNamespaced: true },
  { name: 'job', short: ['jobs'], path: '/apis/batch/v1', isNamespaced: true },
  { name: 'cronjob', short: ['cj', 'cronjobs'], path: '/apis/batch/v1', isNamespaced: true },
  { name: 'replicationcontroller', short: ['rc', 'replicationcontrollers'], path: '/api/v1', isNamespaced: true },
  { name: 'pod', short: ['po', 'pods'], path: '/api/v1', isNamespaced: true },
  { name: 'namespace', short: ['ns', 'namespaces'], path: '/api/v1', isNamespaced: false },
];

/** What traffic can go to, but does not come from. */
export const SERVICE_KIND: Kind = {
  name: 'service',
  short: ['svc', 'services'],
  path: '/api/v1',
  isNamespaced: true,
};

/** Every kind but namespaces, for views of them all. */
export const ALL_KINDS: Kind = { name: 'all', short: [], path: '', isNamespaced: true };

/** Source: RFC 1123 subdomain, which names of workloads are. */
const OBJECT_NAME = /^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$/;

/** @throws UsageError  listing the kinds */
export function kindOf(text: string, kinds: readonly Kind[] = WORKLOAD_KINDS): Kind {
  const wanted = text.toLowerCase();
  const found = kinds.find((kind) => kind.name === wanted || kind.short.includes(wanted));
  if (found === undefined)
    throw new UsageError(`"${text}" is not a kind of workload: use one of ${kinds.map(({ name }) => name).join(', ')}`);
  return found;
}

/**
 * The pods of one workload.
 *
 * @param target  `TYPE/NAME` or a pod's name
 */
export async function podsOf(cluster: Cluster, namespace: string, target: string): Promise<readonly ApiObject[]> {
  const [type = '', name, ...rest] = target.includes('/') ? target.split('/') : ['pod', target];
  const kind = kindOf(type);
  if (name === undefined || name === '')
    throw new UsageError(`"${target}": name the workload too, as in ${kind.name}/web`);
  if (rest.length > 0 || !OBJECT_NAME.test(name))
    throw new UsageError(`"${target}" is not a workload: write TYPE/NAME, as in ${kind.name}/web`);
  if (kind.name === 'namespace') return cluster.list(`/api/v1/namespaces/${name}/pods`);
  const object = await cluster.find(`${kind.path}/namespaces/${namespace}/${kind.name}s/${name}`);
  if (object === undefined) throw new CommandError(`there is no ${kind.name} "${name}" in namespace ${namespace}`);
  if (kind.name === 'pod') return [object];
  if (kind.name === 'cronjob')
    throw new UsageError(`the pods of ${target} belong to its Jobs: name one of those, as in job/${name}-28000000`);
  const { selector: plain = {} } = object['spec'] as { selector?: Readonly<Record<string, string>> };
  const selector =
    kind.name === 'replicationcontroller'
      ? Object.entries(plain)
          .map(([key, value]) => `${key}=${value}`)
          .join(',')
      : labelSelector(object);
  return cluster.list(`/api/v1/namespaces/${namespace}/pods?labelSelector=${encodeURIComponent(selector)}`);
}

type Selector = {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: string;
    readonly values?: readonly string[];
  }[];
};

/** The selector of a workload in the form of a query parameter. */
function labelSelector(workload: ApiObject): string {
  const selector = (workload['spec'] as { selector?: Selector }).selector ?? {};
  const labels = Object.entries(selector.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
  const expressions = (selector.matchExpressions ?? []).map(({ key, operator, values = [] }) => {
    if (operator === 'Exists') return key;
    if (operator === 'DoesNotExist') return `!${key}`;
    return `${key} ${operator === 'In' ? 'in' : 'notin'} (${values.join(',')})`;
  });
  return [...labels, ...expressions].join(',');
}
