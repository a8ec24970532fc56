import { hasPort, type PortSet } from '#model/port-set.ts';
import { opaquePortsOf } from '../dialects/opaque-ports.ts';
import type { Workload } from '../dialects/workload.ts';
import type { OpaqueServers } from '../policy/opaque-servers.ts';

/** What the ports of workloads carry, by their annotations, the default of the installation, and Servers. */
export class PortKinds {
  readonly #defaults: PortSet;
  readonly #servers: OpaqueServers | undefined;

  /** @param defaults  opaque ports of workloads without the annotation */
  constructor(defaults: PortSet, servers?: OpaqueServers) {
    this.#defaults = defaults;
    this.#servers = servers;
  }

  /** Whether a port carries raw bytes that no proxy looks into. */
  isOpaque(workload: Workload, port: number): boolean {
    return hasPort(opaquePortsOf(workload, this.#defaults), port) || this.#servers?.isOpaque(workload, port) === true;
  }

  /** Told of each namespace in which Servers say something else now. Listeners must not throw. */
  onChange(listener: (namespace: string) => void): void {
    this.#servers?.onChange(listener);
  }
}
