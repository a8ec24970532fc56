import { isTerminating } from '#k8s/resources/metadata.ts';
import { ApiError, type ApiObject, type Cluster } from './cluster.ts';
import { CommandError, UsageError } from './command.ts';

export type Kind = {
  readonly name: string;
  readonly short: readonly string[];
  readonly path: string;
  readonly isNamespaced: boolean;
};

export const NAMESPACE_KIND: Kind = {
  name: 'namespace',
  short: ['ns', 'namespaces'],
  path: '/api/v1',
  isNamespaced: false,
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
  NAMESPACE_KIND,
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

/** Kinds as arguments begin with them: `deployment`, or `deployment/` where a name must follow. */
export function kindWords(kinds: readonly Kind[] = WORKLOAD_KINDS): {
  readonly plain: readonly string[];
  readonly named: readonly string[];
} {
  return { plain: kinds.map(({ name }) => name), named: kinds.map(({ name }) => `${name}/`) };
}

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

const NAMESPACES_MAX = 5; // that are named in a hint

/**
 * One object, with the right to read its kind.
 *
 * @param namespace  where it is; of no meaning for a namespace
 * @throws CommandError  when it is not there, saying where one of its name is
 */
export async function objectOf(cluster: Cluster, kind: Kind, name: string, namespace: string): Promise<ApiObject> {
  if (!OBJECT_NAME.test(name))
    throw new UsageError(`"${name}" cannot be the name of a ${kind.name}: use a-z, 0-9, dashes and dots`);
  const scope = kind.isNamespaced ? `/namespaces/${namespace}` : '';
  const object = await cluster.find(`${kind.path}${scope}/${kind.name}s/${name}`);
  if (object !== undefined) return object;
  if (!kind.isNamespaced)
    throw new CommandError(`there is no ${kind.name} "${name}"`, `\`kubectl get ${kind.name}s\` lists them`);
  throw new CommandError(
    `there is no ${kind.name} "${name}" in namespace ${namespace}`,
    await elsewhere(cluster, kind, name),
  );
}

async function elsewhere(cluster: Cluster, kind: Kind, name: string): Promise<string> {
  const path = `${kind.path}/${kind.name}s?fieldSelector=${encodeURIComponent(`metadata.name=${name}`)}`;
  const found = await cluster.list(path).catch((error: unknown) => {
    if (error instanceof ApiError) return []; // who may look into one namespace may not look into all
    throw error;
  });
  const namespaces = found.flatMap(({ metadata }) => metadata.namespace ?? []).slice(0, NAMESPACES_MAX);
  return namespaces.length === 0
    ? `name its namespace with -n, or see \`kubectl get ${kind.name}s -A\``
    : `there is one in ${namespaces.join(', ')}, which -n names`;
}

/**
 * Refuses what does not exist, so that a mistyped name is not taken for something without traffic. Who may not read the kind is told
 * nothing.
 *
 * @throws CommandError
 */
export async function refuseMissing(cluster: Cluster, kind: Kind, name: string, namespace: string): Promise<void> {
  try {
    await objectOf(cluster, kind, name, namespace);
  } catch (error) {
    if (!(error instanceof ApiError && error.code === 403)) throw error;
  }
}

/**
 * The pods of one workload; those that are being deleted are the last.
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
  if (kind.name === 'namespace') {
    const pods = await cluster.list(`/api/v1/namespaces/${name}/pods`);
    if (pods.length === 0) await refuseMissing(cluster, kind, name, '');
    return pods;
  }
  const object = await objectOf(cluster, kind, name, namespace);
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
  const pods = await cluster.list(`/api/v1/namespaces/${namespace}/pods?labelSelector=${encodeURIComponent(selector)}`);
  return pods.toSorted((a, b) => Number(isTerminating(a)) - Number(isTerminating(b)));
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
