import { isJsonObject, type JsonObject, type KubeObject } from './object.ts';
import { labelSelectorOf, type LabelSelector } from './objects/selectors.ts';
import type { Store } from './store.ts';

const GROUP = 'admissionregistration.k8s.io';
const TIMEOUT_SECONDS_DEFAULT = 10;

export type WebhookRule = {
  readonly operations: readonly string[];
  readonly groups: readonly string[];
  readonly versions: readonly string[];
  readonly resources: readonly string[]; // `pods`, `pods/*`, `*/status`, `*`, `*/*`
  readonly scope: string; // `*`, `Cluster` or `Namespaced`
};

/** Where a webhook is called: a Service of the cluster or any URL. */
export type WebhookTarget =
  | {
      readonly kind: 'service';
      readonly namespace: string;
      readonly name: string;
      readonly port: number;
      readonly path: string;
    }
  | { readonly kind: 'url'; readonly url: string };

/** One webhook of a configuration object, ready to be matched and called. */
export type Webhook = {
  readonly id: string; // unique and stable: configuration and position
  readonly name: string;
  readonly target: WebhookTarget;
  readonly caBundle: string; // PEM; '' for the roots of the machine
  readonly rules: readonly WebhookRule[];
  readonly isEquivalent: boolean; // matchPolicy
  readonly namespaceSelector: LabelSelector;
  readonly objectSelector: LabelSelector;
  readonly matchConditions: readonly { readonly name: string; readonly expression: string }[];
  readonly isFailureIgnored: boolean;
  readonly allowsDryRun: boolean;
  readonly mayBeReinvoked: boolean;
  readonly timeoutMs: number;
  readonly reviewVersions: readonly string[];
};

/** In the order of calling: configurations by name, webhooks as listed. */
export function webhooksOf(store: Store, kind: 'mutating' | 'validating'): readonly Webhook[] {
  return store.list(`${kind}webhookconfigurations.${GROUP}`).flatMap((configuration) => {
    const { webhooks } = configuration;
    return (Array.isArray(webhooks) ? webhooks : [])
      .filter(isJsonObject)
      .map((webhook, index) => parseWebhook(configuration, webhook, index));
  });
}

function parseWebhook(configuration: KubeObject, webhook: JsonObject, index: number): Webhook {
  const client = isJsonObject(webhook['clientConfig']) ? webhook['clientConfig'] : {};
  const seconds = webhook['timeoutSeconds'];
  const conditions = Array.isArray(webhook['matchConditions']) ? webhook['matchConditions'].filter(isJsonObject) : [];
  return {
    id: `${configuration.metadata.uid}/${index}`,
    name: text(webhook['name']),
    target: parseTarget(client),
    caBundle: Buffer.from(text(client['caBundle']), 'base64').toString('latin1'),
    rules: (Array.isArray(webhook['rules']) ? webhook['rules'] : []).filter(isJsonObject).map(parseRule),
    isEquivalent: webhook['matchPolicy'] !== 'Exact',
    namespaceSelector: labelSelectorOf(webhook['namespaceSelector'] ?? {}),
    objectSelector: labelSelectorOf(webhook['objectSelector'] ?? {}),
    matchConditions: conditions.map(({ name, expression }) => ({ name: text(name), expression: text(expression) })),
    isFailureIgnored: webhook['failurePolicy'] === 'Ignore',
    allowsDryRun: ['None', 'NoneOnDryRun'].includes(text(webhook['sideEffects'])),
    mayBeReinvoked: webhook['reinvocationPolicy'] === 'IfNeeded',
    timeoutMs: (typeof seconds === 'number' ? seconds : TIMEOUT_SECONDS_DEFAULT) * 1000,
    reviewVersions: strings(webhook['admissionReviewVersions']),
  };
}

function parseTarget(client: JsonObject): WebhookTarget {
  if (!isJsonObject(client['service'])) return { kind: 'url', url: text(client['url']) };
  const { namespace, name, port, path } = client['service'];
  return {
    kind: 'service',
    namespace: text(namespace),
    name: text(name),
    port: typeof port === 'number' ? port : 443,
    path: text(path) || '/',
  };
}

function parseRule(rule: JsonObject): WebhookRule {
  return {
    operations: strings(rule['operations']),
    groups: strings(rule['apiGroups']),
    versions: strings(rule['apiVersions']),
    resources: strings(rule['resources']),
    scope: text(rule['scope']) || '*',
  };
}

function strings(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
