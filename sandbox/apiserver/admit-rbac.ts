import type { Validator } from './admission.ts';
import { isJsonObject } from './object.ts';
import { covers, RBAC_GROUP, rulesOf, type Authorizer, type PolicyRule } from './rbac.ts';
import { forbidden, invalid, notFound } from './status-error.ts';
import type { KubeObject } from './object.ts';
import { isDeepStrictEqual } from 'node:util';

/**
 * Nobody grants rights they do not have: roles need the rules themselves or `escalate`, bindings the rules of the role or
 * `bind`. Source: RBAC privilege escalation prevention of kube-apiserver.
 */
export function refuseEscalation(authorizer: Authorizer): Validator {
  return ({ operation, type, object, current, namespace, options }) => {
    if (type.group !== RBAC_GROUP || object === undefined || operation === 'DELETE') return;
    const isBinding = type.plural.endsWith('bindings');
    const name = nameOf(object);
    if (isBinding && current !== undefined && !isDeepStrictEqual(object['roleRef'], current['roleRef'])) {
      const message = `Invalid value: ${JSON.stringify(object['roleRef'])}: cannot change roleRef`;
      throw invalid(type, name, [{ reason: 'FieldValueInvalid', message, field: 'roleRef' }]);
    }
    const { user } = options;
    const verb = isBinding ? 'bind' : 'escalate';
    const plural = isBinding ? roleOf(object).plural : type.plural;
    const held = authorizer.authorize(user, {
      kind: 'resource',
      verb,
      group: RBAC_GROUP,
      resource: plural,
      subresource: '',
      namespace: namespace ?? '',
      name: isBinding ? roleOf(object).name : name,
    });
    if (held.isAllowed) return;
    const rules = isBinding ? authorizer.rulesOfRole(object['roleRef'], namespace) : rulesOf(object as KubeObject);
    if (rules === undefined) {
      const role = roleOf(object);
      throw notFound({ group: RBAC_GROUP, plural: role.plural, kind: role.kind }, role.name);
    }
    const own = authorizer.rulesFor(user, namespace ?? '');
    const missing = rules.filter((rule) => !covers(own, rule));
    if (missing.length === 0) return;
    const who = `user ${JSON.stringify(user.username)} (groups=${JSON.stringify(user.groups)})`;
    const list = missing.map((rule) => `\n${printRule(rule)}`).join('');
    throw forbidden(type, name, `${who} is attempting to grant RBAC permissions not currently held:${list}`);
  };
}

function nameOf(object: Record<string, unknown>): string {
  const metadata = isJsonObject(object['metadata']) ? object['metadata'] : {};
  return typeof metadata['name'] === 'string' ? metadata['name'] : '';
}

function roleOf(binding: Record<string, unknown>): { kind: string; plural: string; name: string } {
  const { kind, name } = isJsonObject(binding['roleRef']) ? binding['roleRef'] : {};
  const isCluster = kind === 'ClusterRole';
  return {
    kind: isCluster ? 'ClusterRole' : 'Role',
    plural: isCluster ? 'clusterroles' : 'roles',
    name: typeof name === 'string' ? name : '',
  };
}

function printRule(rule: PolicyRule): string {
  const parts = [
    ['APIGroups', rule.apiGroups],
    ['Resources', rule.resources],
    ['ResourceNames', rule.resourceNames],
    ['NonResourceURLs', rule.nonResourceURLs],
    ['Verbs', rule.verbs],
  ] as const;
  const printed = parts
    .filter(([, values]) => values.length > 0)
    .map(([name, values]) => `${name}:${JSON.stringify(values)}`);
  return `{${printed.join(', ')}}`;
}
