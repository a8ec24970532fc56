import { asObject, type JsonObject } from '#k8s/json.ts';
import { PODS } from '#k8s/resources/pod.ts';
import type { Diagnosis, Subject } from '../diagnosis/diagnosis.ts';
import { analyze } from './analyze.ts';
import { identify, type AnalysisContext } from './inventory.ts';
import { ownerOf } from './pod-owner.ts';
import type { KindSchemas } from './schema.ts';

/** Later than whatever a cluster holds. */
const LATER = '9999-12-31T23:59:59Z';

/**
 * What objects say beside those of a cluster, once they are applied: an object replaces the one of its group, kind, namespace and
 * name, with its age and status, and a workload the pods that the cluster has of it. Others are the youngest.
 *
 * @param present  what the cluster holds
 * @param schemas  of the kinds that are installed there
 * @returns findings about the objects, and those about others of the cluster that are there only because of them
 */
export function analyzeApplied(
  objects: readonly JsonObject[],
  present: readonly JsonObject[],
  context: AnalysisContext,
  schemas: readonly KindSchemas[],
): readonly Diagnosis[] {
  const { defaultNamespace } = context;
  const subjects = objects.flatMap((object) => identify(object, defaultNamespace) ?? []);
  const applied = new Set(subjects.map(keyOf));
  const workloads = new Set(subjects.map(workloadKey));
  const replaced = new Map<string, JsonObject>();
  const kept = present.filter((object) => {
    const one = identify(object, defaultNamespace);
    if (one === undefined) return false;
    if (applied.has(keyOf(one))) {
      replaced.set(keyOf(one), object);
      return false;
    }
    const pod = one.kind === 'Pod' && one.group === '' ? PODS.parse(object) : undefined;
    return pod === undefined || !workloads.has(workloadKey(ownerOf(pod)));
  });
  // Age and status are not of whoever applies. The oldest of several decides: what is not there yet displaces nothing.
  const aged = objects.map((object) => {
    const one = identify(object, defaultNamespace);
    const before = one && replaced.get(keyOf(one));
    const creationTimestamp = asObject(before?.['metadata'])['creationTimestamp'] ?? LATER;
    const status = before?.['status'];
    return {
      ...object,
      metadata: { ...asObject(object['metadata']), creationTimestamp },
      ...(status !== undefined && { status }),
    };
  });
  const before = new Set(analyze(present, context, schemas).map(findingKey));
  return analyze([...kept, ...aged], context, schemas).filter(
    (one) => applied.has(keyOf(one)) || !before.has(findingKey(one)),
  );
}

function keyOf({ group, kind, namespace, name }: Subject): string {
  return JSON.stringify([group, kind, namespace, name]);
}

/** Pods name no group of their owner. */
function workloadKey({ kind, namespace, name }: Subject): string {
  return JSON.stringify([kind, namespace, name]);
}

function findingKey(one: Diagnosis): string {
  return `${one.code} ${keyOf(one)} ${one.subject} ${one.message}`;
}
