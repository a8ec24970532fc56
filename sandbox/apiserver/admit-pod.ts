import { isJsonObject, type JsonObject } from './object.ts';
import { randomSuffix } from './object-meta.ts';
import { resourceKey, type ResourceType } from './registry.ts';
import { forbidden } from './status-error.ts';
import type { Store } from './store.ts';
import type { Mutator } from './admission.ts';

const TOKEN_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';
const TOKEN_SECONDS = 3607;
const VOLUME_PREFIX = 'kube-api-access-';
const TOLERATION_SECONDS = 300;
const PRIORITY_CLASSES = 'priorityclasses.scheduling.k8s.io';

/** What every pod gets on creation, before any webhook sees it: account, token volume, tolerations, priority. */
export function podMutators(store: Store): readonly Mutator[] {
  return [
    onPodCreation((pod, namespace, type) => withServiceAccount(store, pod, namespace, type)),
    onPodCreation(withTolerations),
    onPodCreation((pod, _namespace, type) => withPriority(store, pod, type)),
  ];
}

type PodChange = (pod: JsonObject, namespace: string, type: ResourceType) => JsonObject;

function onPodCreation(change: PodChange): Mutator {
  return ({ operation, type, subresource, object, namespace = '' }) =>
    operation === 'CREATE' && resourceKey(type) === 'pods' && subresource === undefined
      ? change(object, namespace, type)
      : object;
}

/** Source: the admission plugin ServiceAccount. */
function withServiceAccount(store: Store, pod: JsonObject, namespace: string, type: ResourceType): JsonObject {
  const spec = specOf(pod);
  const name = text(spec['serviceAccountName']) || text(spec['serviceAccount']) || 'default';
  const account = store.get('serviceaccounts', namespace, name);
  const metadata = isJsonObject(pod['metadata']) ? pod['metadata'] : {};
  if (account === undefined) {
    const why = `error looking up service account ${namespace}/${name}: serviceaccount ${JSON.stringify(name)} not found`;
    throw forbidden(type, text(metadata['name']) || text(metadata['generateName']), why);
  }
  const secrets = account['imagePullSecrets'];
  const named = {
    ...spec,
    serviceAccountName: name,
    serviceAccount: name,
    ...(spec['imagePullSecrets'] === undefined && Array.isArray(secrets) && secrets.length > 0
      ? { imagePullSecrets: secrets }
      : {}),
  };
  const isMounted = spec['automountServiceAccountToken'] ?? account['automountServiceAccountToken'] ?? true;
  return { ...pod, spec: isMounted === false ? named : withTokenVolume(named) };
}

function withTokenVolume(spec: JsonObject): JsonObject {
  const volumes = objects(spec['volumes']);
  const existing = volumes.find((volume) => text(volume['name']).startsWith(VOLUME_PREFIX));
  const name = existing === undefined ? VOLUME_PREFIX + randomSuffix() : text(existing['name']);
  let isUsed = false;
  const mounted = (container: JsonObject): JsonObject => {
    const mounts = objects(container['volumeMounts']);
    if (mounts.some((mount) => mount['mountPath'] === TOKEN_PATH)) return container;
    isUsed = true;
    return { ...container, volumeMounts: [...mounts, { name, readOnly: true, mountPath: TOKEN_PATH }] };
  };
  const changed: JsonObject = { ...spec, containers: objects(spec['containers']).map(mounted) };
  if (spec['initContainers'] !== undefined) changed['initContainers'] = objects(spec['initContainers']).map(mounted);
  if (!isUsed || existing !== undefined) return changed;
  return { ...changed, volumes: [...volumes, { name, projected: tokenSources() }] };
}

function tokenSources(): JsonObject {
  return {
    defaultMode: 0o644,
    sources: [
      { serviceAccountToken: { expirationSeconds: TOKEN_SECONDS, path: 'token' } },
      { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
      {
        downwardAPI: {
          items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
        },
      },
    ],
  };
}

/** Source: the admission plugin DefaultTolerationSeconds. */
function withTolerations(pod: JsonObject): JsonObject {
  const spec = specOf(pod);
  const tolerations = objects(spec['tolerations']);
  const missing = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'].filter(
    (key) => !tolerations.some((toleration) => tolerates(toleration, key)),
  );
  if (missing.length === 0) return pod;
  const added = missing.map((key) => ({
    key,
    operator: 'Exists',
    effect: 'NoExecute',
    tolerationSeconds: TOLERATION_SECONDS,
  }));
  return { ...pod, spec: { ...spec, tolerations: [...tolerations, ...added] } };
}

function tolerates(toleration: JsonObject, key: string): boolean {
  const isEffect = ['', 'NoExecute'].includes(text(toleration['effect']));
  return isEffect && ['', key].includes(text(toleration['key']));
}

/** Source: the admission plugin Priority. */
function withPriority(store: Store, pod: JsonObject, type: ResourceType): JsonObject {
  const spec = specOf(pod);
  const name = text(spec['priorityClassName']);
  const classes = store.list(PRIORITY_CLASSES);
  const found =
    name === ''
      ? classes.find((candidate) => candidate['globalDefault'] === true)
      : store.get(PRIORITY_CLASSES, undefined, name);
  if (name !== '' && found === undefined) {
    const metadata = isJsonObject(pod['metadata']) ? pod['metadata'] : {};
    throw forbidden(type, text(metadata['name']), `no PriorityClass with name ${name} was found`);
  }
  const preemptionPolicy = found?.['preemptionPolicy'] ?? 'PreemptLowerPriority';
  return {
    ...pod,
    spec: {
      ...spec,
      ...(found === undefined ? {} : { priorityClassName: found.metadata.name }),
      priority: found?.['value'] ?? 0,
      preemptionPolicy: spec['preemptionPolicy'] ?? preemptionPolicy,
    },
  };
}

function specOf(pod: JsonObject): JsonObject {
  return isJsonObject(pod['spec']) ? pod['spec'] : {};
}

function objects(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
