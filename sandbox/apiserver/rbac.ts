import { isJsonObject, type KubeObject } from './object.ts';
import type { Store } from './store.ts';
import { parseServiceAccount, SUPERUSERS, type User } from './user.ts';

/** What somebody wants to do. Source: the attributes record of authorization. */
export type Attributes =
  | {
      readonly kind: 'resource';
      readonly verb: string;
      readonly group: string;
      readonly resource: string; // plural
      readonly subresource: string; // '' for the resource itself
      readonly namespace: string; // '' for cluster-scoped resources and for all namespaces
      readonly name: string; // '' for collections
    }
  | { readonly kind: 'path'; readonly verb: string; readonly path: string };

export type Decision = { readonly isAllowed: boolean; readonly reason: string };

/** Source: rbac.authorization.k8s.io/v1 `PolicyRule`. */
export type PolicyRule = {
  readonly verbs: readonly string[];
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames: readonly string[];
  readonly nonResourceURLs: readonly string[];
};

export const RBAC_GROUP = 'rbac.authorization.k8s.io';
const ROLES = `roles.${RBAC_GROUP}`;
const CLUSTER_ROLES = `clusterroles.${RBAC_GROUP}`;
const ROLE_BINDINGS = `rolebindings.${RBAC_GROUP}`;
const CLUSTER_ROLE_BINDINGS = `clusterrolebindings.${RBAC_GROUP}`;

const denied: Decision = { isAllowed: false, reason: '' };

/** Role-based access control over the objects in the store: rights only add up, nothing takes one away. */
export class Authorizer {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  authorize(user: User, attributes: Attributes): Decision {
    if (user.groups.includes(SUPERUSERS)) return { isAllowed: true, reason: '' };
    const namespace = attributes.kind === 'resource' ? attributes.namespace : '';
    for (const grant of this.#grants(user, namespace)) {
      if (grant.rules.some((rule) => allows(rule, attributes))) return { isAllowed: true, reason: grant.reason };
    }
    return denied;
  }

  /** All rules that apply to a user in a namespace ('' for cluster-wide rules only). */
  rulesFor(user: User, namespace: string): readonly PolicyRule[] {
    if (user.groups.includes(SUPERUSERS)) return [everything, everyPath];
    return this.#grants(user, namespace).flatMap((grant) => grant.rules);
  }

  /** The rules behind a roleRef; undefined when the role does not exist. */
  rulesOfRole(roleRef: unknown, namespace: string | undefined): readonly PolicyRule[] | undefined {
    const { kind, name } = isJsonObject(roleRef) ? roleRef : {};
    if (typeof name !== 'string') return undefined;
    const role =
      kind === 'ClusterRole'
        ? this.#store.get(CLUSTER_ROLES, undefined, name)
        : namespace === undefined
          ? undefined
          : this.#store.get(ROLES, namespace, name);
    return role === undefined ? undefined : rulesOf(role);
  }

  #grants(user: User, namespace: string): { rules: readonly PolicyRule[]; reason: string }[] {
    const bindings = [
      ...this.#store.list(CLUSTER_ROLE_BINDINGS),
      ...(namespace === '' ? [] : this.#store.list(ROLE_BINDINGS, namespace)),
    ];
    return bindings.flatMap((binding) => {
      const subject = subjectsOf(binding).find((candidate) => isSubject(candidate, user, binding.metadata.namespace));
      if (subject === undefined) return [];
      const rules = this.rulesOfRole(binding['roleRef'], binding.metadata.namespace);
      return rules === undefined ? [] : [{ rules, reason: reasonOf(binding, subject) }];
    });
  }
}

const everything: PolicyRule = {
  verbs: ['*'],
  apiGroups: ['*'],
  resources: ['*'],
  resourceNames: [],
  nonResourceURLs: [],
};
const everyPath: PolicyRule = {
  verbs: ['*'],
  apiGroups: [],
  resources: [],
  resourceNames: [],
  nonResourceURLs: ['*'],
};

type Subject = { readonly kind: string; readonly name: string; readonly namespace: string };

function subjectsOf(binding: KubeObject): readonly Subject[] {
  const { subjects } = binding;
  return (Array.isArray(subjects) ? subjects : []).filter(isJsonObject).map((subject) => ({
    kind: text(subject['kind']),
    name: text(subject['name']),
    namespace: text(subject['namespace']),
  }));
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function isSubject(subject: Subject, user: User, bindingNamespace: string | undefined): boolean {
  switch (subject.kind) {
    case 'User':
      return subject.name === user.username;
    case 'Group':
      return user.groups.includes(subject.name);
    case 'ServiceAccount': {
      const account = parseServiceAccount(user.username);
      const namespace = subject.namespace === '' ? bindingNamespace : subject.namespace;
      return account !== undefined && account.name === subject.name && account.namespace === namespace;
    }
    default:
      return false;
  }
}

function reasonOf(binding: KubeObject, subject: Subject): string {
  const { namespace, name } = binding.metadata;
  const roleRef = isJsonObject(binding['roleRef']) ? binding['roleRef'] : {};
  const role = `${String(roleRef['kind'])} "${String(roleRef['name'])}"`;
  const who = subject.namespace === '' ? subject.name : `${subject.name}/${subject.namespace}`;
  const where = namespace === undefined ? name : `${name}/${namespace}`;
  return `RBAC: allowed by ${binding.kind} "${where}" of ${role} to ${subject.kind} "${who}"`;
}

export function rulesOf(role: KubeObject): readonly PolicyRule[] {
  const { rules } = role;
  return (Array.isArray(rules) ? rules : []).filter(isJsonObject).map((rule) => ({
    verbs: strings(rule['verbs']),
    apiGroups: strings(rule['apiGroups']),
    resources: strings(rule['resources']),
    resourceNames: strings(rule['resourceNames']),
    nonResourceURLs: strings(rule['nonResourceURLs']),
  }));
}

function strings(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

export function allows(rule: PolicyRule, attributes: Attributes): boolean {
  if (!has(rule.verbs, attributes.verb)) return false;
  if (attributes.kind === 'path') {
    return rule.nonResourceURLs.some((pattern) => matchesPath(pattern, attributes.path));
  }
  return (
    has(rule.apiGroups, attributes.group) &&
    rule.resources.some((pattern) => matchesResource(pattern, attributes.resource, attributes.subresource)) &&
    (rule.resourceNames.length === 0 || (attributes.name !== '' && rule.resourceNames.includes(attributes.name)))
  );
}

function has(list: readonly string[], value: string): boolean {
  return list.includes('*') || list.includes(value);
}

export function matchesResource(pattern: string, resource: string, subresource: string): boolean {
  if (pattern === '*') return true;
  if (subresource === '') return pattern === resource;
  return pattern === `${resource}/${subresource}` || pattern === `*/${subresource}`;
}

function matchesPath(pattern: string, path: string): boolean {
  return pattern.endsWith('*') ? path.startsWith(pattern.slice(0, -1)) : pattern === path;
}

/** Is everything that `wanted` allows also allowed by one of `held`? Compared part by part, names and paths included. */
export function covers(held: readonly PolicyRule[], wanted: PolicyRule): boolean {
  return breakDown(wanted).every((attributes) => held.some((rule) => allowsPart(rule, attributes)));
}

function allowsPart(rule: PolicyRule, part: Attributes): boolean {
  if (part.kind === 'path') {
    const isPathHeld = rule.nonResourceURLs.some((held) => held === part.path || matchesPath(held, part.path));
    return has(rule.verbs, part.verb) && isPathHeld;
  }
  if (!has(rule.verbs, part.verb) || !has(rule.apiGroups, part.group)) return false;
  const isNameHeld = rule.resourceNames.length === 0 || (part.name !== '' && rule.resourceNames.includes(part.name));
  return isNameHeld && rule.resources.some((held) => coversResource(held, part.resource));
}

/** Here both sides are patterns; only the same words or a wider one cover. */
function coversResource(held: string, wanted: string): boolean {
  if (held === '*' || held === wanted) return true;
  return held.startsWith('*/') && wanted.endsWith(held.slice(1));
}

function breakDown(rule: PolicyRule): Attributes[] {
  const names = rule.resourceNames.length === 0 ? [''] : rule.resourceNames;
  const resources = rule.verbs.flatMap((verb) =>
    rule.apiGroups.flatMap((group) =>
      rule.resources.flatMap((resource) =>
        names.map(
          (name) => ({ kind: 'resource', verb, group, resource, subresource: '', namespace: '', name }) as const,
        ),
      ),
    ),
  );
  const paths = rule.verbs.flatMap((verb) =>
    rule.nonResourceURLs.map((path) => ({ kind: 'path', verb, path }) as const),
  );
  return [...resources, ...paths];
}

/** `User "u" cannot list resource "secrets" in API group "" in the namespace "ka"`. */
export function describe(user: User, attributes: Attributes): string {
  const who = `User ${JSON.stringify(user.username)} cannot ${attributes.verb}`;
  if (attributes.kind === 'path') return `${who} path ${JSON.stringify(attributes.path)}`;
  const { resource, subresource, group, namespace } = attributes;
  const what = subresource === '' ? resource : `${resource}/${subresource}`;
  const where = namespace === '' ? 'at the cluster scope' : `in the namespace ${JSON.stringify(namespace)}`;
  return `${who} resource ${JSON.stringify(what)} in API group ${JSON.stringify(group)} ${where}`;
}
