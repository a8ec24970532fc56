import { controlDeployments } from '#config/names.ts';
import { VERSION } from '#config/version.ts';
import { renderInstall } from '../../control-plane/install/render.ts';
import type { ApiObject, Cluster } from '../cluster.ts';
import type { InstalledValues } from '../installed-values.ts';
import { formatChange } from '../lifecycle/difference.ts';
import { extensions } from '../lifecycle/owned-objects.ts';
import { objectName, planOf, type ObjectPlan } from '../lifecycle/plan.ts';
import { Finding, type Category, type Check } from './check.ts';
import { livePods } from './live-pods.ts';
import { podProblem } from './pod-problems.ts';

const MAX_NAMED = 10;

type Installed = () => Promise<InstalledValues>;

/** Kinds of the manifest whose change has the same consequence. A missing object of `elsewhere` is told by another check. */
const GROUPS: readonly {
  readonly what: string;
  readonly kinds: readonly string[];
  readonly severity: Check['severity'];
  readonly elsewhere?: readonly string[];
}[] = [
  {
    what: 'roles and bindings',
    kinds: ['ClusterRole', 'ClusterRoleBinding', 'Role', 'RoleBinding'],
    severity: 'error',
    elsewhere: ['ClusterRole', 'ClusterRoleBinding'],
  },
  { what: 'Services', kinds: ['Service'], severity: 'error' },
  {
    what: 'webhook configurations',
    kinds: ['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration'],
    severity: 'error',
    elsewhere: ['MutatingWebhookConfiguration'],
  },
  { what: 'Deployments and DaemonSets', kinds: ['Deployment', 'DaemonSet'], severity: 'warning' },
  { what: 'PodDisruptionBudgets', kinds: ['PodDisruptionBudget'], severity: 'warning' },
  { what: 'Namespace and config map', kinds: ['Namespace', 'ConfigMap'], severity: 'warning' },
  {
    what: 'CustomResourceDefinitions',
    kinds: ['CustomResourceDefinition'],
    severity: 'warning',
    elsewhere: ['CustomResourceDefinition'],
  },
];

/** Whether what is in the cluster is what the installation's manifest says, and what else could hurt it. */
export function installationChecks(cluster: Cluster, namespace: string, installed: Installed): readonly Category[] {
  let plan: Promise<readonly ObjectPlan[]> | undefined;
  const current = async (): Promise<readonly ObjectPlan[] | undefined> => {
    const { values } = await installed();
    if (values.version !== VERSION) return undefined; // another version renders other objects
    plan ??= planOf(cluster, renderInstall(values), namespace);
    return plan;
  };
  const unchanged = ({ what, kinds, severity, elsewhere = [] }: (typeof GROUPS)[number]): Check => ({
    description: `${what} are as installed`,
    hint: '`tulle upgrade --plan` shows the difference, `tulle upgrade | kubectl apply -f -` removes it',
    severity,
    run: async () => {
      const all = await current();
      if (all === undefined) return 'skip';
      const found = all
        .filter(({ object }) => kinds.includes(object.kind))
        .flatMap((one) => deviations(one, elsewhere));
      if (found.length > 0) throw new Finding(found.slice(0, MAX_NAMED).join('\n'));
      return undefined;
    },
  });
  return [
    {
      name: 'tulle-installation',
      checks: [
        ...GROUPS.map(unchanged),
        {
          description: 'nothing is left over from other versions or values',
          hint: 'look at `tulle prune`, then `tulle prune | kubectl delete -f -`',
          severity: 'warning',
          run: async () => {
            const left = (await current())?.filter(({ action }) => action === 'remove');
            if (left === undefined) return 'skip';
            if (left.length > 0) throw new Finding(left.map(({ object }) => objectName(object)).join(', '));
            return undefined;
          },
        },
        {
          description: 'control plane pods run without trouble',
          hint: `\`kubectl -n ${namespace} describe pod POD\` and \`kubectl -n ${namespace} logs POD --previous\``,
          severity: 'warning',
          run: async () => {
            const pods = await livePods(cluster, namespace);
            const found = pods.flatMap((pod) => {
              const problem = podProblem(pod);
              return problem === undefined ? [] : [`${pod.metadata.name}: ${problem}`];
            });
            if (found.length > 0) throw new Finding(found.slice(0, MAX_NAMED).join('\n'));
          },
        },
        {
          description: 'namespaces of extensions are distinct',
          hint: 'commands of an extension look for one namespace: remove the label linkerd.io/extension from the others',
          severity: 'warning',
          run: async () => {
            const places = Map.groupBy(await extensions(cluster), ({ name }) => name);
            const twice = [...places].filter(([, all]) => all.length > 1);
            if (twice.length > 0)
              throw new Finding(
                twice.map(([name, all]) => `${name}: ${all.map((one) => one.namespace).join(', ')}`).join('\n'),
              );
          },
        },
        {
          description: 'no other control plane takes part',
          hint: 'both would write the same CustomResourceDefinitions and ask for the same pods: remove one of them',
          severity: 'warning',
          run: async () => {
            const label = encodeURIComponent('linkerd.io/is-control-plane=true');
            const others = (await cluster.list(`/api/v1/namespaces?labelSelector=${label}`)).filter(
              ({ metadata }) => metadata.name !== namespace,
            );
            if (others.length > 0)
              throw new Finding(`also in ${others.map(({ metadata }) => metadata.name).join(', ')}`);
          },
        },
      ],
    },
    { name: 'tulle-ha', checks: highAvailabilityChecks(cluster, namespace, installed) },
  ];
}

/** Lines about one object: that it is missing, or the fields that differ, from what should be to what is. */
function deviations({ action, object, changes }: ObjectPlan, elsewhere: readonly string[]): readonly string[] {
  if (action === 'create') return elsewhere.includes(object.kind) ? [] : [`${objectName(object)} does not exist`];
  if (action !== 'change') return [];
  const [first] = changes;
  if (first === undefined) return [];
  const more = changes.length > 1 ? ` and ${changes.length - 1} more fields` : '';
  return [`${objectName(object)}: ${formatChange({ path: first.path, from: first.to, to: first.from })}${more}`];
}

function highAvailabilityChecks(cluster: Cluster, namespace: string, installed: Installed): readonly Check[] {
  const podsOf = async (): Promise<readonly ApiObject[] | undefined> => {
    const { values } = await installed();
    return values.highAvailability ? livePods(cluster, namespace) : undefined;
  };
  return [
    {
      description: 'multiple replicas of control plane pods are ready',
      hint: `\`kubectl -n ${namespace} get deploy\`: with one replica, a node that goes takes its part of the control plane along`,
      severity: 'warning',
      isRetried: true,
      run: async () => {
        if ((await podsOf()) === undefined) return 'skip';
        const found: string[] = [];
        for (const name of controlDeployments((await installed()).values)) {
          const deployment = await cluster.find(`/apis/apps/v1/namespaces/${namespace}/deployments/${name}`);
          const { readyReplicas = 0 } = (deployment?.['status'] ?? {}) as { readyReplicas?: number };
          if (readyReplicas < 2) found.push(`${name} has ${readyReplicas}`);
        }
        if (found.length > 0) throw new Finding(found.join(', '));
        return undefined;
      },
    },
    {
      description: 'replicas are on different nodes',
      hint: 'with one node high availability has no effect; with more, delete one of the pods so that it is placed anew',
      severity: 'warning',
      run: async () => {
        const pods = await podsOf();
        if (pods === undefined) return 'skip';
        const component = (pod: ApiObject): string =>
          pod.metadata.labels?.['linkerd.io/control-plane-component'] ?? pod.metadata.name;
        const found = [...Map.groupBy(pods, component)].flatMap(([name, replicas]) => {
          const nodes = new Set(replicas.map((pod) => (pod['spec'] as { nodeName?: string } | undefined)?.nodeName));
          return replicas.length > 1 && nodes.size === 1 && !nodes.has(undefined)
            ? [`all of ${name} are on ${[...nodes].join('')}`]
            : [];
        });
        if (found.length > 0) throw new Finding(found.join(', '));
        return undefined;
      },
    },
  ];
}
