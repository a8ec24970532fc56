import type { Pod } from '#k8s/resources/pod.ts';
import { isInboundSkipped, SKIP_INBOUND_PORTS } from '../../control-plane/dialects/skipped-ports.ts';

/** Why no policy is enforced for a port of a pod, whatever it says; nothing where it is. */
export function whyNotEnforced(pod: Pod, port: number): string | undefined {
  if (!pod.hasProxy) return 'the pod has no proxy';
  if (isInboundSkipped(pod, port)) return `connections lead past the proxy (${SKIP_INBOUND_PORTS})`;
  return undefined;
}
