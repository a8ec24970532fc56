import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { inNetns } from '#netlink/namespace.ts';

import type { PodParts } from './container-launch.ts';
import type { RootMount } from './container-root.ts';
import type { NamespaceReader } from './environment.ts';
import { writeEtcFiles } from './etc-files.ts';
import type { NodeContext } from './node-context.ts';
import { namespaceOf, type Pod } from './pod.ts';
import type { IssuedToken, TokenRequest } from './volume-content.ts';
import { PodVolumes } from './volumes.ts';

/** A token is renewed after this part of its life, and after a day at the latest. Source: kubelet token manager. */
const TOKEN_LIFE_RATIO = 0.8;
const TOKEN_AGE_MS_MAX = 24 * 3_600_000;
const TOKEN_RENEWAL_MS_MIN = 1000;

/** Others do not belong to the network namespace: setting them would change the machine. */
const NETWORK_SYSCTL = /^net\.[a-z0-9_.]+$/;

type Network = { readonly netns: number | undefined; readonly ip: string };

/** What the containers of one pod share: network, /etc files and volumes. */
export class PodSurroundings {
  readonly #context: NodeContext;
  readonly #uid: string;
  readonly #volumes: PodVolumes;
  #network: Network | undefined;
  #etcMounts: readonly RootMount[] = [];
  #lastIP: string | undefined;
  /** When the volumes that the node writes are to be written again; 0 for now. Milliseconds of wall time. */
  #refreshAtMs = 0;
  #hasVolumes = false;

  constructor(context: NodeContext, pod: Pod) {
    this.#context = context;
    this.#uid = pod.metadata.uid;
    const { pods, memory } = context.directories;
    const directories = { disk: join(pods, this.#uid, 'volumes'), memory: join(memory, this.#uid) };
    this.#volumes = new PodVolumes(directories, pod.spec.volumes ?? []);
  }

  /** Absent before the pod has its network and after it has lost it. */
  get network(): Network | undefined {
    return this.#network;
  }

  /** Stays known after the network has gone. */
  get podIP(): string | undefined {
    return this.#lastIP;
  }

  get refreshAtMs(): number {
    return this.#refreshAtMs;
  }

  /** Containers can start, even if a renewal has failed since. */
  get isReady(): boolean {
    return this.#network !== undefined && this.#hasVolumes;
  }

  /** The pod's labels or annotations have changed, which files may show. */
  invalidate(): void {
    this.#refreshAtMs = 0;
  }

  /** True when the volumes show this object; they are written again by the next `prepare`. */
  invalidateFor(kind: 'configMap' | 'secret', name: string): boolean {
    if (!this.#volumes.refersTo(kind, name)) return false;
    this.#refreshAtMs = 0;
    return true;
  }

  /**
   * Makes what is missing and renews what is due.
   *
   * @throws VolumeError, or what the network says
   */
  async prepare(pod: Pod): Promise<void> {
    this.#network ??= this.#createNetwork(pod);
    if (Date.now() < this.#refreshAtMs) return;
    this.#refreshAtMs = Infinity; // a change during the set-up sets it to 0 again
    try {
      const refreshAtMs = await this.#volumes.setUp({
        pod,
        facts: this.#facts(),
        reader: this.#reader(pod),
        token: (request) => this.#issueToken(pod, request),
      });
      this.#refreshAtMs = Math.min(this.#refreshAtMs, refreshAtMs);
      this.#hasVolumes = true;
    } catch (error) {
      this.#refreshAtMs = 0;
      throw error;
    }
  }

  parts(pod: Pod): PodParts {
    return {
      pod,
      facts: this.#facts(),
      reader: this.#reader(pod),
      volumes: this.#volumes,
      etcMounts: this.#etcMounts,
      netns: this.#network?.netns,
    };
  }

  /** Gives everything back; no process of the pod may be left. May be called again. */
  release(): void {
    this.#removeNetwork();
    this.#volumes.tearDown();
  }

  /** The network and what is in memory are gone; the disk stays. */
  losePower(): void {
    this.#removeNetwork();
    this.#volumes.losePower();
  }

  /** Removes what is left on disk. */
  removeFiles(): void {
    const { pods, logs } = this.#context.directories;
    for (const directory of [pods, logs]) rmSync(join(directory, this.#uid), { recursive: true, force: true });
  }

  #removeNetwork(): void {
    if (this.#network?.netns !== undefined) this.#context.networks.remove(this.#uid);
    this.#network = undefined;
  }

  #createNetwork(pod: Pod): Network {
    const { networks, nodeIP, names, directories } = this.#context;
    const network: Network =
      pod.spec.hostNetwork === true ? { netns: undefined, ip: nodeIP } : networks.create(this.#uid);
    if (network.netns !== undefined) this.#setSysctls(network.netns, pod);
    this.#etcMounts = writeEtcFiles(join(directories.pods, this.#uid, 'etc'), pod, network.ip, names);
    this.#lastIP = network.ip;
    return network;
  }

  /** The pod's own, and the runtime's default that every user may listen on every port. */
  #setSysctls(netns: number, pod: Pod): void {
    const asked = (pod.spec.securityContext?.sysctls ?? [])
      .filter(({ name }) => NETWORK_SYSCTL.test(name))
      .map(({ name, value }) => [name, value] as const);
    for (const [name, value] of [['net.ipv4.ip_unprivileged_port_start', '0'] as const, ...asked]) {
      try {
        inNetns(netns, () => writeFileSync(`/proc/sys/${name.replaceAll('.', '/')}`, value));
      } catch (error) {
        this.#context.log.debug({ err: error, sysctl: name }, 'a sysctl of a pod was not set');
      }
    }
  }

  async #issueToken(pod: Pod, request: TokenRequest): Promise<IssuedToken> {
    const issuedAtMs = Date.now();
    const account = pod.spec.serviceAccountName ?? 'default';
    const issued = await this.#context.client.createToken(namespaceOf(pod), account, {
      audiences: request.audience === '' ? [] : [request.audience],
      expirationSeconds: request.expirationSeconds,
      pod: { name: pod.metadata.name, uid: this.#uid },
    });
    const lifeMs = Date.parse(issued.expirationTimestamp) - issuedAtMs;
    const ageMs = Math.max(TOKEN_RENEWAL_MS_MIN, Math.min(TOKEN_AGE_MS_MAX, lifeMs * TOKEN_LIFE_RATIO));
    return { token: issued.token, refreshAtMs: issuedAtMs + ageMs };
  }

  #facts(): PodParts['facts'] {
    const { nodeName, nodeIP, allocatable } = this.#context;
    return { nodeName, hostIP: nodeIP, podIP: this.#lastIP ?? '', allocatable };
  }

  #reader(pod: Pod): NamespaceReader {
    const { client } = this.#context;
    const namespace = namespaceOf(pod);
    return {
      configMap: (name) => client.get('configmaps', namespace, name),
      secret: (name) => client.get('secrets', namespace, name),
      services: () => {
        const kubernetes = namespace === 'default' ? undefined : client.get('services', 'default', 'kubernetes');
        return [...(kubernetes === undefined ? [] : [kubernetes]), ...client.list('services', namespace)];
      },
    };
  }
}
