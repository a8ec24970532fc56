import { qosClass } from './objects/qos.ts';
import { isJsonObject, type JsonObject, type KubeObject } from './object.ts';
import { resourceKey, type ResourceType } from './registry.ts';

/**
 * What particular kinds do besides what all do. Steps run in this order: `reset` before defaulting and admission, `complete`
 * when the object has its name and uid, before validation. Source: the `PrepareForCreate` of each kind's strategy.
 */
type Strategy = {
  reset?: (draft: JsonObject) => JsonObject;
  complete?: (object: KubeObject) => KubeObject;
};

const JOB_UID_LABEL = 'batch.kubernetes.io/controller-uid';

const strategies: Readonly<Record<string, Strategy>> = {
  nodes: { reset: (draft) => draft }, // a node brings its own status
  pods: {
    reset: (draft) => ({ ...draft, status: { phase: 'Pending' } }),
    complete: (pod) => ({ ...pod, status: { phase: 'Pending', qosClass: qosClass(pod) } }),
  },
  services: { reset: (draft) => ({ ...draft, status: { loadBalancer: {} } }) },
  namespaces: {
    reset: (draft) => ({ ...draft, spec: { finalizers: ['kubernetes'] }, status: { phase: 'Active' } }),
    complete: (object) => labelled(object, 'kubernetes.io/metadata.name', object.metadata.name),
  },
  'jobs.batch': { complete: completeJob },
};

/** Takes away the status that a client must not set. */
export function resetDraft(type: ResourceType, draft: JsonObject): JsonObject {
  const reset = strategies[resourceKey(type)]?.reset;
  if (reset !== undefined) return reset(draft);
  if (!type.hasStatus) return draft;
  const { status: _status, ...rest } = draft;
  return type.custom === undefined ? { ...rest, status: {} } : rest;
}

export function completeObject(type: ResourceType, object: KubeObject): KubeObject {
  return strategies[resourceKey(type)]?.complete?.(object) ?? object;
}

function labelled(object: KubeObject, label: string, value: string): KubeObject {
  const labels = { ...object.metadata.labels, [label]: value };
  return { ...object, metadata: { ...object.metadata, labels } };
}

/** Jobs select their pods by their own uid, unless the author took that on (manualSelector). */
function completeJob(job: KubeObject): KubeObject {
  const spec = isJsonObject(job['spec']) ? job['spec'] : {};
  if (spec['manualSelector'] === true) return job;
  const { name, uid } = job.metadata;
  const template = isJsonObject(spec['template']) ? spec['template'] : {};
  const metadata = isJsonObject(template['metadata']) ? template['metadata'] : {};
  const labels = {
    ...(isJsonObject(metadata['labels']) ? metadata['labels'] : {}),
    [JOB_UID_LABEL]: uid,
    'batch.kubernetes.io/job-name': name,
    'controller-uid': uid,
    'job-name': name,
  };
  return {
    ...job,
    spec: {
      ...spec,
      selector: spec['selector'] ?? { matchLabels: { [JOB_UID_LABEL]: uid } },
      template: { ...template, metadata: { ...metadata, labels } },
    },
  };
}
