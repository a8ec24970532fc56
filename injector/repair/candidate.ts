import { decide, type NamespaceFacts } from '../decision.ts';
import type { LivePod } from './pods.ts';

/** Namespaces that the webhook is not asked about. */
export const SYSTEM_NAMESPACES = ['kube-system', 'kube-node-lease', 'cert-manager'] as const;
const NEVER: ReadonlySet<string> = new Set([...SYSTEM_NAMESPACES, 'kube-public']);
/** Workloads that make a pod again, as it was, when it is evicted. */
const REPLACED: ReadonlySet<string> = new Set([
  'deployment',
  'replicaset',
  'replicationcontroller',
  'statefulset',
  'daemonset',
]);

type NamespaceSince = NamespaceFacts & { readonly injectSinceMs: number };

/** Whether a pod should have a proxy and has none. */
export function isUnmeshed(pod: LivePod, namespace: NamespaceFacts, isRedirectedByNode: boolean): boolean {
  if (pod.spec === undefined || pod.isTerminating || pod.isFinished) return false;
  if (NEVER.has(pod.namespace) || namespace.labels['config.linkerd.io/admission-webhooks'] === 'disabled') return false;
  return decide(pod.spec, namespace, isRedirectedByNode).kind === 'inject';
}

/** Why an unmeshed pod is left to people; undefined when it may be evicted. */
export function repairObstacle(pod: LivePod, namespace: NamespaceSince): string | undefined {
  if (pod.workload === undefined) return 'no workload would create it again: create it anew';
  if (!REPLACED.has(pod.workload.kind)) return `evicting it could fail its ${pod.workload.kind}`;
  if (!pod.isSafeToEvict) return 'it has cluster-autoscaler.kubernetes.io/safe-to-evict=false: restart its workload';
  if (!pod.hasOwnAnnotation && pod.createdMs < namespace.injectSinceMs)
    return 'it was created before its namespace was annotated: restart its workload when that suits';
  return undefined;
}
