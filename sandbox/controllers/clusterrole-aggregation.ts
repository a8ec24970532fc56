import { keyOf, startQueue, together, type Again, type ControllerContext } from './controller.ts';
import { sameJson, semanticText } from './json.ts';
import { matchesSelector } from './label-selector.ts';
import type { ClusterRole, PolicyRule } from './resources.ts';

const RESOURCE = 'clusterroles.rbac.authorization.k8s.io';

/** Fills the rules of ClusterRoles that have an `aggregationRule` from those that its selectors match. */
export function startClusterRoleAggregation(context: ControllerContext): Disposable {
  const { client } = context;
  const queue = startQueue(context, 'clusterrole-aggregation-controller', (_, name) => reconcile(context, name));
  const wakeAll = (): void => {
    for (const role of client.list(RESOURCE)) if (role.aggregationRule !== undefined) queue.add(keyOf(role));
  };
  return together(queue, client.watch(RESOURCE, { apply: wakeAll, delete: wakeAll }));
}

async function reconcile({ client }: ControllerContext, name: string): Promise<Again> {
  const role = client.get(RESOURCE, undefined, name);
  if (role?.aggregationRule === undefined) return undefined;
  const rules = aggregated(role, client.list(RESOURCE));
  if (!sameJson(role.rules ?? [], rules)) await client.update(RESOURCE, { ...role, rules });
  return undefined;
}

/** The rules of all roles that one of the selectors matches, each rule once, in the order of the roles' names. */
export function aggregated(role: ClusterRole, all: readonly ClusterRole[]): readonly PolicyRule[] {
  const selectors = role.aggregationRule?.clusterRoleSelectors ?? [];
  const rules = new Map<string, PolicyRule>();
  const matching = all
    .filter((other) => other.metadata.name !== role.metadata.name)
    .filter((other) => selectors.some((selector) => matchesSelector(selector, other.metadata.labels)))
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  for (const rule of matching.flatMap((other) => other.rules ?? [])) {
    const text = semanticText(rule);
    if (!rules.has(text)) rules.set(text, rule);
  }
  return [...rules.values()];
}
