import { hasPort } from '#model/port-set.ts';
import { annotatedPorts } from './opaque-ports.ts';
import type { Workload } from './workload.ts';

/** Lists ports of a workload to which connections lead past its proxy: numbers and ranges. */
export const SKIP_INBOUND_PORTS = 'config.linkerd.io/skip-inbound-ports';

/** Whether connections to a port lead past the proxy of the workload, so that no policy is enforced there. */
export function isInboundSkipped(workload: Workload, port: number): boolean {
  return hasPort(annotatedPorts(workload, SKIP_INBOUND_PORTS), port);
}
