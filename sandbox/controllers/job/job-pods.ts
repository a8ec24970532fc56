import { isActive, podFromTemplate } from '../pods.ts';
import type { Container, Job, Pod } from '../resources.ts';
import type { Draft } from '../typed-client.ts';
import { INDEX, indexOf, parseIndexes, TRACKING } from './job-status.ts';

const INDEX_ENV = 'JOB_COMPLETION_INDEX';

/** A pod of a Job; with `index` one of an Indexed Job. */
export function jobPod(job: Job, index: number | undefined): Draft<Pod> {
  const { template } = job.spec;
  const { name, uid } = job.metadata;
  const labels = {
    ...template.metadata?.labels,
    'batch.kubernetes.io/controller-uid': uid,
    'batch.kubernetes.io/job-name': name,
    'controller-uid': uid,
    'job-name': name,
  };
  const finalizers = [...(template.metadata?.finalizers ?? []), TRACKING];
  if (index === undefined) return podFromTemplate(template, job, { generateName: `${name}-`, labels, finalizers });
  const pod = podFromTemplate(template, job, {
    generateName: `${name}-${index}-`,
    labels: { ...labels, [INDEX]: String(index) },
    annotations: { ...template.metadata?.annotations, [INDEX]: String(index) },
    finalizers,
  });
  const withIndex = (container: Container): Container => ({
    ...container,
    env: [
      ...(container.env ?? []).filter((variable) => variable.name !== INDEX_ENV),
      { name: INDEX_ENV, value: String(index) },
    ],
  });
  const { initContainers } = pod.spec;
  return {
    ...pod,
    spec: {
      ...pod.spec,
      hostname: `${name}-${index}`,
      containers: pod.spec.containers.map(withIndex),
      ...(initContainers === undefined ? {} : { initContainers: initContainers.map(withIndex) }),
    },
  };
}

/** The lowest indexes that neither are done nor have a pod; undefined when the Job is not Indexed. */
export function missingIndexes(job: Job, pods: readonly Pod[], count: number): readonly number[] | undefined {
  if (job.spec.completionMode !== 'Indexed') return undefined;
  const taken = parseIndexes(job.status?.completedIndexes);
  for (const pod of pods.filter(isActive)) taken.add(indexOf(pod) ?? -1);
  const missing: number[] = [];
  for (let index = 0; index < (job.spec.completions ?? 0) && missing.length < count; index += 1) {
    if (!taken.has(index)) missing.push(index);
  }
  return missing;
}
