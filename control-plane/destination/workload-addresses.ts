import type { ResourceStore } from '#k8s/resource-store.ts';
import { keyOf } from '#k8s/resources/metadata.ts';
import type { ContainerPort, Pod } from '#k8s/resources/pod.ts';
import { canonicalAddresses } from '#model/address.ts';
import { MultiMap } from '#runtime/multi-map.ts';
import type { ExternalWorkload } from '../dialects/external-workload.ts';
import { byAge } from '../dialects/precedence.ts';
import type { Stores } from './stores.ts';

/** The port of a workload that an address leads to; `ip` is the workload's own. */
export type WorkloadPort = { readonly workload: Pod | ExternalWorkload; readonly ip: string; readonly port: number };

/** Told of a workload, and of every address that it has or had. Must not throw. */
export type AddressListener = (workload: Pod | ExternalWorkload, ips: readonly string[]) => void;

/** Whose address one is. As large as the cluster has pods and external workloads. */
export class WorkloadAddresses {
  readonly #stores: Pick<Stores, 'pods' | 'externalWorkloads'>;
  readonly #podsByIp = new MultiMap<string, string>();
  readonly #podsByHostIp = new MultiMap<string, string>(); // only pods with host ports
  readonly #externalByIp = new MultiMap<string, string>();

  constructor(stores: Pick<Stores, 'pods' | 'externalWorkloads'>, onChange: AddressListener) {
    this.#stores = stores;
    stores.pods.onChange((next, previous) => {
      if (previous !== undefined) this.#forPod(previous, (map, ip, key) => map.delete(ip, key));
      if (next !== undefined) this.#forPod(next, (map, ip, key) => map.add(ip, key));
      for (const pod of [previous, next]) if (pod !== undefined) onChange(pod, addressesOf(pod));
    });
    stores.externalWorkloads.onChange((next, previous) => {
      for (const ip of previous?.ips ?? []) this.#externalByIp.delete(ip, keyOf(previous!.namespace, previous!.name));
      for (const ip of next?.ips ?? []) this.#externalByIp.add(ip, keyOf(next!.namespace, next!.name));
      for (const workload of [previous, next]) if (workload !== undefined) onChange(workload, workload.ips);
    });
  }

  /** @param ip  canonical text; of a node it leads to the pod with this host port */
  find(ip: string, port: number): WorkloadPort | undefined {
    const [pod] = newestFirst(this.#podsByIp.get(ip), this.#stores.pods);
    if (pod !== undefined) return { workload: pod, ip, port };
    const [external] = newestFirst(this.#externalByIp.get(ip), this.#stores.externalWorkloads);
    if (external !== undefined) return { workload: external, ip, port };
    for (const hosted of newestFirst(this.#podsByHostIp.get(ip), this.#stores.pods)) {
      const mapping = hosted.ports.find((one) => isHostPort(one, ip, port));
      const ips = canonicalAddresses(hosted.ips);
      const podIp = ips.find((own) => own.includes(':') === ip.includes(':')) ?? ips[0];
      if (mapping !== undefined && podIp !== undefined) return { workload: hosted, ip: podIp, port: mapping.port };
    }
    return undefined;
  }

  #forPod(pod: Pod, update: (map: MultiMap<string, string>, ip: string, key: string) => void): void {
    const key = keyOf(pod.namespace, pod.name);
    // A pod that has finished no longer owns its address; one in the host's network shares it with others.
    if (pod.isFinished) return;
    if (!pod.isHostNetwork) for (const ip of canonicalAddresses(pod.ips)) update(this.#podsByIp, ip, key);
    const hasHostPorts = pod.ports.some(({ hostPort }) => hostPort !== undefined);
    if (hasHostPorts) for (const ip of canonicalAddresses(pod.hostIps)) update(this.#podsByHostIp, ip, key);
  }
}

/** Where somebody may look for a workload. */
export function addressesOf(workload: Pod | ExternalWorkload): readonly string[] {
  return 'isExternal' in workload ? workload.ips : canonicalAddresses([...workload.ips, ...workload.hostIps]);
}

/** Of several with one address, the last that was made: the others are about to go. */
function newestFirst<W extends Pod | ExternalWorkload>(keys: Iterable<string>, store: ResourceStore<W>): readonly W[] {
  const workloads = [...keys].flatMap((key) => store.getByKey(key) ?? []);
  return workloads.length > 1 ? workloads.sort((a, b) => byAge(b, a)) : workloads;
}

function isHostPort({ hostPort, hostIp, protocol }: ContainerPort, ip: string, port: number): boolean {
  const isHere =
    hostIp === undefined || hostIp === '0.0.0.0' || hostIp === '::' || canonicalAddresses([hostIp])[0] === ip;
  return hostPort === port && protocol === 'TCP' && isHere;
}
