import { closeSync, readlinkSync, writeFileSync } from 'node:fs';

import {
  addAddress,
  addRoute,
  addVeth,
  awaitLink,
  linkIndex,
  LOOPBACK_INDEX,
  removeLink,
  removeLinkGroup,
  removeRoute,
  setLinkGroup,
  startLink,
  type Route,
} from '#netlink/links.ts';
import { createNetns, inNetns } from '#netlink/namespace.ts';
import { Netlink } from '#netlink/socket.ts';

import { DEFAULT_ADDRESSES, SERVICE_PREFIX, type ClusterAddresses } from './addresses.ts';

/** A pod's network. The descriptor is this module's: it is closed by `remove`. */
export type PodNetwork = {
  readonly netns: number; // for `inNetns(netns, () => spawn(...))`, which puts a process into the pod
  readonly netnsPath: string; // the same as a path, for `nsenter --net=...` by children of this process
  readonly ip: string;
};

const HOST_MAX = 65_534;
/** The first one is the node. */
const FIRST_HOST = 2;
const POD_LINK = 'eth0';
const PREFIX_HOST = 32;
/** Marks links of pods that were given up. Any number but 0. */
const GONE_GROUP = 0x7470;
const LINGER_MS = 500;

type Pod = PodNetwork & { readonly link: number; readonly host: number };

/**
 * The networks of the pods of one node: per pod a namespace and one link to the node, routed, without a bridge. Pods
 * see each other's addresses, the node, and nothing of the machine.
 *
 * Lives in the network namespace it is made in, which must be the sandbox's own.
 */
export class PodNetworks implements Disposable {
  readonly #netlink = new Netlink('route');
  readonly #pods = new Map<string, Pod>();
  readonly #takenHosts = new Set<number>();
  #nextHost = FIRST_HOST;
  readonly #addresses: ClusterAddresses;
  #timer: NodeJS.Timeout | undefined;

  /** @param localAddresses  further addresses that programs of the node listen on, such as the DNS server's */
  constructor(localAddresses: readonly string[] = [], addresses: ClusterAddresses = DEFAULT_ADDRESSES) {
    this.#addresses = addresses;
    const { nodeIP, serviceNetwork } = addresses;
    startLink(this.#netlink, LOOPBACK_INDEX);
    for (const address of [nodeIP, ...localAddresses]) {
      addAddress(this.#netlink, LOOPBACK_INDEX, address, PREFIX_HOST);
    }
    // Routing comes before the translation of Service addresses: without a route there would be none.
    addRoute(this.#netlink, {
      destination: `${serviceNetwork}.0.0`,
      prefix: SERVICE_PREFIX,
      link: LOOPBACK_INDEX,
      source: nodeIP,
    });
  }

  /**
   * The network of a pod; the same one when called again.
   *
   * @throws NetlinkError, SystemCallError  with nothing left behind
   * @throws Error  when 65000 pods have a network
   */
  create(podUid: string): PodNetwork {
    const existing = this.#pods.get(podUid);
    if (existing !== undefined) return existing;
    const host = this.#freeHost();
    const netns = createNetns();
    try {
      const ip = `${this.#addresses.podNetwork}.${host >> 8}.${host & 0xff}`;
      const link = this.#connect(netns, ip, `pod${host.toString(16).padStart(4, '0')}`);
      const pod: Pod = { netns, netnsPath: descriptorPath(netns), ip, link, host };
      this.#pods.set(podUid, pod);
      this.#takenHosts.add(host);
      return pod;
    } catch (error) {
      closeSync(netns);
      throw error;
    }
  }

  /**
   * Makes the pod's address unreachable at once and gives its network up. Does nothing for an unknown pod.
   *
   * The link goes with the namespace, which the kernel removes by itself after the last process and socket in it; a
   * little later, links of namespaces that something still holds are removed too. Removing each here would keep this
   * process from doing anything else for 40 ms.
   */
  remove(podUid: string): void {
    const pod = this.#pods.get(podUid);
    if (pod === undefined) return;
    this.#pods.delete(podUid);
    this.#takenHosts.delete(pod.host);
    removeRoute(this.#netlink, this.#routeTo(pod.ip, pod.link));
    try {
      setLinkGroup(this.#netlink, pod.link, GONE_GROUP);
    } finally {
      closeSync(pod.netns);
    }
    this.#timer ??= setTimeout(() => this.removeLinks(), LINGER_MS).unref();
  }

  /** What a node forgets in a power failure: addresses are given out from the first one again, to whichever pod asks. */
  startOver(): void {
    this.removeLinks();
    this.#nextHost = FIRST_HOST;
  }

  /** Removes the links of all pods that were given up, now instead of a little later. */
  removeLinks(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    removeLinkGroup(this.#netlink, GONE_GROUP);
  }

  [Symbol.dispose](): void {
    for (const uid of this.#pods.keys()) this.remove(uid);
    this.removeLinks();
    this.#netlink[Symbol.dispose]();
  }

  #connect(netns: number, ip: string, name: string): number {
    addVeth(this.#netlink, name, { name: POD_LINK, netns });
    const link = linkIndex(this.#netlink, name);
    try {
      // The node's address on every link: ARP answers for it then do not depend on the machine's settings.
      addAddress(this.#netlink, link, this.#addresses.nodeIP, PREFIX_HOST);
      startLink(this.#netlink, link, true);
      setUpPod(netns, ip, this.#addresses.nodeIP);
      addRoute(this.#netlink, this.#routeTo(ip, link));
      awaitLink(this.#netlink, link); // if it takes too long only the first packets are slow
      return link;
    } catch (error) {
      removeLink(this.#netlink, link);
      throw error;
    }
  }

  #routeTo(ip: string, link: number): Route {
    return { destination: ip, prefix: PREFIX_HOST, link, source: this.#addresses.nodeIP };
  }

  /** Goes round the range, so that an address is not used again soon after its pod is gone. */
  #freeHost(): number {
    for (let tries = FIRST_HOST; tries <= HOST_MAX; tries += 1) {
      const host = this.#nextHost;
      this.#nextHost = host >= HOST_MAX ? FIRST_HOST : host + 1;
      const lastByte = host & 0xff;
      if (lastByte !== 0 && lastByte !== 0xff && !this.#takenHosts.has(host)) return host;
    }
    throw new Error(`no free pod address in ${this.#addresses.podNetwork}.0.0/16`);
  }
}

function setUpPod(netns: number, ip: string, nodeIP: string): void {
  using netlink = new Netlink('route', netns);
  const link = linkIndex(netlink, POD_LINK);
  startLink(netlink, LOOPBACK_INDEX);
  addAddress(netlink, link, ip, PREFIX_HOST);
  startLink(netlink, link);
  addRoute(netlink, { destination: nodeIP, prefix: PREFIX_HOST, link });
  addRoute(netlink, { destination: '0.0.0.0', prefix: 0, link, gateway: nodeIP });
  awaitLink(netlink, link);
  allowLowPorts(netns);
}

/** Any user may listen on ports below 1024, as container runtimes have it. Where /proc/sys cannot be written, not. */
function allowLowPorts(netns: number): void {
  try {
    inNetns(netns, () => writeFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', '0'));
  } catch {
    // A convenience: programs that need a low port then have to run as root.
  }
}

/** /proc may show another process id namespace than ours, so it is asked for the number it knows us by. */
function descriptorPath(fd: number): string {
  return `/proc/${readlinkSync('/proc/self')}/fd/${fd}`;
}
