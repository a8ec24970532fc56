import { isJsonObject, type JsonObject } from './object.ts';
import type { Attributes, Authorizer, PolicyRule } from './rbac.ts';
import { badRequest, invalid, type ResourceName } from './status-error.ts';
import type { User } from './user.ts';

/** Answers of group authorization.k8s.io: what somebody may do. Each returns the status of the review. */
export class AccessReviews {
  readonly #authorizer: Authorizer;

  constructor(authorizer: Authorizer) {
    this.#authorizer = authorizer;
  }

  /** May the caller do it? */
  self(caller: User, spec: JsonObject): JsonObject {
    return this.#decide(caller, spec, 'selfsubjectaccessreviews', 'SelfSubjectAccessReview');
  }

  /** May the user named in the spec do it? @param namespace  the only one allowed, for the local form */
  subject(spec: JsonObject, namespace: string | undefined): JsonObject {
    const attributes = spec['resourceAttributes'];
    if (namespace !== undefined && (!isJsonObject(attributes) || attributes['namespace'] !== namespace)) {
      const asked = isJsonObject(attributes) ? text(attributes['namespace']) : '';
      throw badRequest(
        `spec.resourceAttributes.namespace must match metadata.namespace: ${JSON.stringify(asked)} != ${JSON.stringify(namespace)}`,
      );
    }
    const groups = Array.isArray(spec['groups']) ? spec['groups'].map(text) : [];
    const username = text(spec['user']);
    if (username === '' && groups.length === 0) {
      const message = 'Required value: at least one of user or group must be specified';
      throw invalid(nameOf('subjectaccessreviews', 'SubjectAccessReview'), '', [
        { reason: 'FieldValueRequired', message, field: 'spec.user' },
      ]);
    }
    return this.#decide({ username, groups }, spec, 'subjectaccessreviews', 'SubjectAccessReview');
  }

  /** All that the caller may do in a namespace. */
  rules(caller: User, spec: JsonObject): JsonObject {
    const namespace = text(spec['namespace']);
    if (namespace === '') throw badRequest('no namespace on request');
    const rules = this.#authorizer.rulesFor(caller, namespace);
    return {
      resourceRules: rules.filter((rule) => rule.resources.length > 0).map(resourceRule),
      nonResourceRules: rules
        .filter((rule) => rule.nonResourceURLs.length > 0)
        .map(({ verbs, nonResourceURLs }) => ({ verbs, nonResourceURLs })),
      incomplete: false,
    };
  }

  #decide(user: User, spec: JsonObject, plural: string, kind: string): JsonObject {
    const attributes = parseAttributes(spec, nameOf(plural, kind));
    const { isAllowed, reason } = this.#authorizer.authorize(user, attributes);
    return { allowed: isAllowed, ...(reason === '' ? {} : { reason }) };
  }
}

function resourceRule({ verbs, apiGroups, resources, resourceNames }: PolicyRule): JsonObject {
  return { verbs, apiGroups, resources, ...(resourceNames.length === 0 ? {} : { resourceNames }) };
}

function parseAttributes(spec: JsonObject, review: ResourceName): Attributes {
  const { resourceAttributes, nonResourceAttributes } = spec;
  if (isJsonObject(resourceAttributes) === isJsonObject(nonResourceAttributes)) {
    const message = 'Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified';
    throw invalid(review, '', [{ reason: 'FieldValueInvalid', message, field: 'spec.resourceAttributes' }]);
  }
  if (isJsonObject(nonResourceAttributes)) {
    return { kind: 'path', verb: text(nonResourceAttributes['verb']), path: text(nonResourceAttributes['path']) };
  }
  const sent = isJsonObject(resourceAttributes) ? resourceAttributes : {};
  return {
    kind: 'resource',
    verb: text(sent['verb']),
    group: text(sent['group']),
    resource: text(sent['resource']),
    subresource: text(sent['subresource']),
    namespace: text(sent['namespace']),
    name: text(sent['name']),
  };
}

function nameOf(plural: string, kind: string): ResourceName {
  return { group: 'authorization.k8s.io', plural, kind };
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
