import type { Manifest } from '../../control-plane/install/manifest.ts';
import type { Cluster } from '../cluster.ts';
import { ResourcePaths, type ObjectReference } from '../resource-paths.ts';
import { fieldChanges, formatChange, type FieldChange } from './difference.ts';
import { leftovers } from './owned-objects.ts';

/** What happens to one object. */
export type ObjectPlan = {
  readonly action: 'create' | 'change' | 'remove' | 'keep';
  readonly object: ObjectReference;
  readonly changes: readonly FieldChange[];
  readonly isRestarted: boolean; // a workload whose pods are replaced
};

/** What applying a manifest does to the cluster, compared with what is there now. Nothing is written. */
export async function planOf(
  cluster: Cluster,
  manifest: readonly Manifest[],
  namespace: string,
): Promise<readonly ObjectPlan[]> {
  const paths = new ResourcePaths(cluster);
  const [plans, removed] = await Promise.all([
    Promise.all(manifest.map((object) => planObject(cluster, paths, object))),
    leftovers(cluster, manifest, namespace),
  ]);
  return [
    ...plans,
    ...removed.map((object) => ({ action: 'remove' as const, object, changes: [], isRestarted: false })),
  ];
}

const WORKLOADS: ReadonlySet<string> = new Set(['Deployment', 'DaemonSet']);

async function planObject(cluster: Cluster, paths: ResourcePaths, object: Manifest): Promise<ObjectPlan> {
  const path = await paths.of(object);
  const live = path === undefined ? undefined : await cluster.find(path);
  if (live === undefined) return { action: 'create', object, changes: [], isRestarted: false };
  const changes = fieldChanges(object, live);
  const isRestarted =
    WORKLOADS.has(object.kind) && changes.some(({ path: field }) => field.startsWith('spec.template'));
  return { action: changes.length === 0 ? 'keep' : 'change', object, changes, isRestarted };
}

/** `deployment tulle/tulle-identity` */
export function objectName({ kind, metadata }: ObjectReference): string {
  const { name, namespace } = metadata;
  return `${kind.toLowerCase()} ${namespace === undefined ? name : `${namespace}/${name}`}`;
}

const SYMBOLS = { create: '+', change: '~', remove: '-', keep: ' ' } as const;
const MAX_CHANGES = 12; // shown for one object
const MAX_EVICTED = 20; // named

/**
 * The plan for people.
 *
 * @param evicted  pods that the injector evicts because of it, as NAMESPACE/NAME
 */
export function formatPlan(plan: readonly ObjectPlan[], evicted: readonly string[]): string {
  const shown = plan.filter(({ action }) => action !== 'keep');
  if (shown.length === 0) return `Nothing would change: all ${plan.length} objects are as they should be.\n`;
  const lines = shown.flatMap(({ action, object, changes, isRestarted }) => {
    const note = isRestarted ? ' (its pods restart)' : action === 'remove' ? ' (for `tulle prune`)' : '';
    const more = changes.length - MAX_CHANGES;
    return [
      `${SYMBOLS[action]} ${objectName(object)}${note}`,
      ...changes.slice(0, MAX_CHANGES).map((change) => `    ${formatChange(change)}`),
      ...(more > 0 ? [`    and ${more} more`] : []),
    ];
  });
  const count = (action: ObjectPlan['action']): number => plan.filter((one) => one.action === action).length;
  const restarted = plan.filter(({ isRestarted }) => isRestarted).map(({ object }) => object.metadata.name);
  return [
    ...lines,
    '',
    `${count('create')} created, ${count('change')} changed, ${count('remove')} left over, ${count('keep')} unchanged.`,
    restarted.length === 0 ? 'No pod restarts.' : `Pods that restart: ${restarted.join(', ')}.`,
    ...(evicted.length === 0 ? [] : [evictionText(evicted)]),
    '',
  ].join('\n');
}

function evictionText(evicted: readonly string[]): string {
  const more = evicted.length - MAX_EVICTED;
  return [
    'Pods without a proxy that the injector then evicts, one of a workload at a time and as PodDisruptionBudgets allow, so that they get one',
    `(not with --set repair.enabled=false): ${evicted.slice(0, MAX_EVICTED).join(', ')}${more > 0 ? ` and ${more} more` : ''}.`,
  ].join('\n');
}

/** The plan for programs: without what stays as it is. */
export function planDocument(plan: readonly ObjectPlan[], evicted: readonly string[]): object {
  return {
    objects: plan
      .filter(({ action }) => action !== 'keep')
      .map(({ action, object, changes, isRestarted }) => ({
        action,
        apiVersion: object.apiVersion,
        kind: object.kind,
        name: object.metadata.name,
        ...(object.metadata.namespace === undefined ? {} : { namespace: object.metadata.namespace }),
        ...(changes.length === 0 ? {} : { changes }),
        isRestarted,
      })),
    unchanged: plan.filter(({ action }) => action === 'keep').length,
    evicted,
  };
}
