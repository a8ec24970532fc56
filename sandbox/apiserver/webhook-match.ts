import type { AdmissionRequest } from './admission.ts';
import { metadataOf } from './object-meta.ts';
import { matchesLabels } from './objects/selectors.ts';
import { resourceKey, type Registry, type ResourceType } from './registry.ts';
import type { Store } from './store.ts';
import type { Webhook, WebhookRule } from './webhook-configuration.ts';

const CONFIGURATION_GROUP = 'admissionregistration.k8s.io';

/**
 * Does a webhook want to see this write?
 *
 * @returns the version of the resource it asked for, which is another than the request's when versions are equivalent
 */
export function matchWebhook(
  webhook: Webhook,
  request: AdmissionRequest,
  registry: Registry,
  store: Store,
): ResourceType | undefined {
  // What configures admission is never put before webhooks: nobody could repair a broken one.
  if (request.type.group === CONFIGURATION_GROUP) return undefined;
  const type = matchedType(webhook, request, registry);
  if (type === undefined) return undefined;
  if (!isNamespaceSelected(webhook, request, store) || !isObjectSelected(webhook, request)) return undefined;
  return type;
}

function matchedType(webhook: Webhook, request: AdmissionRequest, registry: Registry): ResourceType | undefined {
  const matches = (type: ResourceType): boolean => webhook.rules.some((rule) => matchesRule(rule, request, type));
  if (matches(request.type)) return request.type;
  if (!webhook.isEquivalent) return undefined;
  const { group, plural, version } = request.type;
  const others = registry
    .all()
    .filter((type) => type.group === group && type.plural === plural && type.version !== version);
  return others.find(matches);
}

function matchesRule(rule: WebhookRule, request: AdmissionRequest, type: ResourceType): boolean {
  const { operation, subresource } = request;
  return (
    has(rule.operations, operation) &&
    has(rule.groups, type.group) &&
    has(rule.versions, type.version) &&
    (rule.scope === '*' || (rule.scope === 'Namespaced') === isInNamespace(request)) &&
    rule.resources.some((pattern) => matchesResource(pattern, type.plural, subresource ?? ''))
  );
}

/** A Namespace object is cluster-scoped although the request carries its name. */
function isInNamespace(request: AdmissionRequest): boolean {
  return request.type.isNamespaced;
}

function has(list: readonly string[], value: string): boolean {
  return list.includes('*') || list.includes(value);
}

function matchesResource(pattern: string, plural: string, subresource: string): boolean {
  const [resource = '', sub = ''] = pattern.split('/', 2);
  if (resource !== '*' && resource !== plural) return false;
  return sub === '*' || sub === subresource;
}

function isNamespaceSelected(webhook: Webhook, request: AdmissionRequest, store: Store): boolean {
  if (resourceKey(request.type) === 'namespaces') {
    const labels = request.object === undefined ? request.current?.metadata.labels : labelsOf(request.object);
    return matchesLabels(webhook.namespaceSelector, labels ?? {});
  }
  if (request.namespace === undefined) return true;
  const namespace = store.get('namespaces', undefined, request.namespace);
  return matchesLabels(webhook.namespaceSelector, namespace?.metadata.labels ?? {});
}

function isObjectSelected(webhook: Webhook, request: AdmissionRequest): boolean {
  const { object, current } = request;
  return (
    (object !== undefined && matchesLabels(webhook.objectSelector, labelsOf(object))) ||
    (current !== undefined && matchesLabels(webhook.objectSelector, current.metadata.labels ?? {}))
  );
}

function labelsOf(object: Record<string, unknown>): unknown {
  return metadataOf(object)['labels'] ?? {};
}
