import { isDeepStrictEqual } from 'node:util';
import { isJsonObject, type KubeObject } from './object.ts';
import { labelSelectorOf, matchesLabels } from './objects/selectors.ts';
import type { Store } from './store.ts';

const CLUSTER_ROLES = 'clusterroles.rbac.authorization.k8s.io';

/**
 * Keeps the rules of ClusterRoles that have an aggregationRule equal to the union of the roles it selects. Chains
 * (view into edit into admin) settle because every change is looked at again.
 */
export function aggregateRoles(store: Store): Disposable {
  const update = (): void => {
    const roles = store.list(CLUSTER_ROLES);
    for (const role of roles) {
      if (!isJsonObject(role['aggregationRule'])) continue;
      const rules = aggregated(role, roles);
      if (!isDeepStrictEqual(rules, role['rules'] ?? [])) {
        // The list is of one moment; the commit makes this run again with what is true then.
        store.replace(CLUSTER_ROLES, role, { ...role, rules });
        return;
      }
    }
  };
  update();
  return store.subscribe(CLUSTER_ROLES, update);
}

function aggregated(role: KubeObject, roles: readonly KubeObject[]): unknown[] {
  const rule = isJsonObject(role['aggregationRule']) ? role['aggregationRule'] : {};
  const { clusterRoleSelectors } = rule;
  const selectors = (Array.isArray(clusterRoleSelectors) ? clusterRoleSelectors : []).map(labelSelectorOf);
  const rules: unknown[] = [];
  for (const other of roles) {
    if (other === role || !selectors.some((selector) => matchesLabels(selector, other.metadata.labels))) continue;
    for (const one of Array.isArray(other['rules']) ? other['rules'] : []) {
      if (!rules.some((known) => isDeepStrictEqual(known, one))) rules.push(one);
    }
  }
  return rules;
}
