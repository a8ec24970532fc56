import { hasPort, parsePortSet } from '#model/port-set.ts';
import type { Workload } from './workload.ts';

/** Lists ports of a workload to which connections lead past its proxy: numbers and ranges, no names. */
export const SKIP_INBOUND_PORTS = 'config.linkerd.io/skip-inbound-ports';

/**
 * Whether connections to a port lead past the proxy of the workload, so that no policy is enforced there. As for the injector, which
 * programs the redirect, a list with something wrong in it says nothing.
 */
export function isInboundSkipped({ annotations }: Workload, port: number): boolean {
  const { ports, unknown } = parsePortSet(annotations[SKIP_INBOUND_PORTS] ?? '');
  return unknown.length === 0 && hasPort(ports, port);
}
