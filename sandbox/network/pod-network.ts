import { closeSync, readlinkSync, writeFileSync } from 'node:fs';

import {
  addAddress,
  addRoute,
  addVeth,
  awaitLink,
  linkIndex,
  LOOPBACK_INDEX,
  removeLink,
  startLink,
} from '#netlink/links.ts';
import { createNetns, inNetns } from '#netlink/namespace.ts';
import { Netlink } from '#netlink/socket.ts';

import { NODE_IP, SERVICE_PREFIX, SERVICE_SUBNET } from './addresses.ts';

/** A pod's network. The descriptor is this module's: it is closed by `remove`. */
export type PodNetwork = {
  readonly netns: number; // for `inNetns(netns, () => spawn(...))`, which puts a process into the pod
  readonly netnsPath: string; // the same as a path, for `nsenter --net=...` by children of this process
  readonly ip: string;
};

const SUBNET = '10.42';
const HOST_MAX = 65_534;
/** 10.42.0.1 is the node. */
const FIRST_HOST = 2;
const POD_LINK = 'eth0';
const PREFIX_HOST = 32;

type Pod = PodNetwork & { readonly link: number; readonly host: number };

/**
 * The networks of the pods of one node: per pod a namespace and one link to the node, routed, without a bridge. Pods
 * see each other's addresses, the node at 10.42.0.1, and nothing of the machine.
 *
 * Lives in the network namespace it is made in, which must be the sandbox's own.
 */
export class PodNetworks implements Disposable {
  readonly #netlink = new Netlink('route');
  readonly #pods = new Map<string, Pod>();
  readonly #takenHosts = new Set<number>();
  #nextHost = FIRST_HOST;

  /** @param localAddresses  further addresses that programs of the node listen on, such as the DNS server's */
  constructor(localAddresses: readonly string[] = []) {
    startLink(this.#netlink, LOOPBACK_INDEX);
    for (const address of [NODE_IP, ...localAddresses]) {
      addAddress(this.#netlink, LOOPBACK_INDEX, address, PREFIX_HOST);
    }
    // Routing comes before the translation of Service addresses: without a route there would be none.
    addRoute(this.#netlink, {
      destination: SERVICE_SUBNET,
      prefix: SERVICE_PREFIX,
      link: LOOPBACK_INDEX,
      source: NODE_IP,
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
      const ip = `${SUBNET}.${host >> 8}.${host & 0xff}`;
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

  /** Removes the pod's link at once, even if processes of the pod still run. Does nothing for an unknown pod. */
  remove(podUid: string): void {
    const pod = this.#pods.get(podUid);
    if (pod === undefined) return;
    this.#pods.delete(podUid);
    this.#takenHosts.delete(pod.host);
    closeSync(pod.netns);
    removeLink(this.#netlink, pod.link);
  }

  [Symbol.dispose](): void {
    for (const uid of this.#pods.keys()) this.remove(uid);
    this.#netlink[Symbol.dispose]();
  }

  #connect(netns: number, ip: string, name: string): number {
    addVeth(this.#netlink, name, { name: POD_LINK, netns });
    const link = linkIndex(this.#netlink, name);
    try {
      // The node's address on every link: ARP answers for it then do not depend on the machine's settings.
      addAddress(this.#netlink, link, NODE_IP, PREFIX_HOST);
      startLink(this.#netlink, link, true);
      setUpPod(netns, ip);
      addRoute(this.#netlink, { destination: ip, prefix: PREFIX_HOST, link, source: NODE_IP });
      awaitLink(this.#netlink, link); // if it takes too long only the first packets are slow
      return link;
    } catch (error) {
      removeLink(this.#netlink, link);
      throw error;
    }
  }

  /** Goes round the range, so that an address is not used again soon after its pod is gone. */
  #freeHost(): number {
    for (let tries = FIRST_HOST; tries <= HOST_MAX; tries += 1) {
      const host = this.#nextHost;
      this.#nextHost = host >= HOST_MAX ? FIRST_HOST : host + 1;
      const lastByte = host & 0xff;
      if (lastByte !== 0 && lastByte !== 0xff && !this.#takenHosts.has(host)) return host;
    }
    throw new Error(`no free pod address in ${SUBNET}.0.0/16`);
  }
}

function setUpPod(netns: number, ip: string): void {
  using netlink = new Netlink('route', netns);
  const link = linkIndex(netlink, POD_LINK);
  startLink(netlink, LOOPBACK_INDEX);
  addAddress(netlink, link, ip, PREFIX_HOST);
  startLink(netlink, link);
  addRoute(netlink, { destination: NODE_IP, prefix: PREFIX_HOST, link });
  addRoute(netlink, { destination: '0.0.0.0', prefix: 0, link, gateway: NODE_IP });
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
