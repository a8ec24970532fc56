import type { Pod } from '#k8s/resources/pod.ts';
import type { ExternalWorkload } from './external-workload.ts';

/** A pod or an external workload, as far as policies and annotations are about it. */
export type Workload = Pick<Pod | ExternalWorkload, 'namespace' | 'labels' | 'annotations' | 'ports' | 'probes'> & {
  readonly isExternal?: true;
};
