import { isJsonObject, type KubeObject } from './object.ts';
import { timestamp } from './object-meta.ts';
import { badRequest, conflict } from './status-error.ts';
import type { WriteOptions } from './write-options.ts';
import type { ObjectTarget, Writer } from './writer.ts';

/**
 * Assigns a pod to a node, once.
 *
 * @param body  a Binding (`target.name`), or the part of the pod that a binding sets (`spec.nodeName`)
 */
export function bindPod(
  writer: Writer,
  target: ObjectTarget,
  body: unknown,
  options: WriteOptions,
): Promise<KubeObject> {
  const node = nodeOf(body);
  const revise = (pod: KubeObject): KubeObject => {
    const spec = isJsonObject(pod['spec']) ? pod['spec'] : {};
    const { nodeName } = spec;
    if (pod.metadata.deletionTimestamp !== undefined) {
      throw conflict(target.type, target.name, `pod ${target.name} is being deleted, cannot be assigned to a host`);
    }
    if (typeof nodeName === 'string' && nodeName !== '') {
      throw conflict(
        target.type,
        target.name,
        `pod ${target.name} is already assigned to node ${JSON.stringify(nodeName)}`,
      );
    }
    return scheduled({ ...pod, spec: { ...spec, nodeName: node } });
  };
  return writer.revise({ ...target, subresource: 'binding' }, revise, options);
}

function nodeOf(body: unknown): string {
  const part = isJsonObject(body) ? (body['target'] ?? body['spec']) : undefined;
  const name = isJsonObject(part) ? (part['name'] ?? part['nodeName']) : undefined;
  if (typeof name === 'string' && name !== '') return name;
  throw badRequest('a binding must name a node in target.name');
}

function scheduled(pod: KubeObject): KubeObject {
  const status = isJsonObject(pod['status']) ? pod['status'] : {};
  const conditions = Array.isArray(status['conditions']) ? status['conditions'] : [];
  const others = conditions.filter((condition) => !isJsonObject(condition) || condition['type'] !== 'PodScheduled');
  const condition = {
    type: 'PodScheduled',
    status: 'True',
    lastProbeTime: null,
    lastTransitionTime: timestamp(Date.now()),
  };
  return { ...pod, status: { ...status, conditions: [...others, condition] } };
}
