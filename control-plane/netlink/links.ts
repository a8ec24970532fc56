import { encodeAttributes, findAttribute, type Attribute } from './attributes.ts';
import { addressBytes, cString, host32, readHost32 } from './bytes.ts';
import { FAMILY } from './expressions.ts';
import { FLAG, NetlinkError, type Message, type Netlink } from './socket.ts';

/** Functions over a `Netlink` socket of protocol `route`; all act on the namespace that the socket was made in. */

/** `lo` is the first link of every network namespace. */
export const LOOPBACK_INDEX = 1;
/** Longest name of a link that the kernel takes. */
export const LINK_NAME_MAX = 15;

export type Link = { readonly index: number; readonly name: string };

/** Reached through a link, through a gateway, or through a gateway on a link. */
export type Route = {
  readonly destination: string;
  readonly prefix: number; // bits; 0 for the default route
  readonly link?: number;
  readonly gateway?: string;
  readonly source?: string; // this host's address when it starts a connection itself
};

// linux/rtnetlink.h, linux/if_link.h
const TYPE = { newLink: 16, deleteLink: 17, getLink: 18, newAddress: 20, newRoute: 24, deleteRoute: 25 } as const;
const IFLA = { name: 3, linkInfo: 18, afSpec: 26, group: 27, netnsFd: 28 } as const;
const IFLA_INFO = { kind: 1, data: 2 } as const;
const IFLA_INET_CONF = 1;
const IPV4_DEVCONF_FORWARDING = 1;
const VETH_INFO_PEER = 1;
const IFF_UP = 1;
const IFF_RUNNING = 0x40;
const IFA = { address: 1, local: 2 } as const;
const IFA_F_NODAD = 2;
const RTA = { destination: 1, link: 4, gateway: 5, preferredSource: 7 } as const;
const ROUTE = { tableMain: 254, protocolStatic: 4, scopeUniverse: 0, scopeLink: 253, typeUnicast: 1 } as const;
const IFINFO_BYTES = 16;
const IFINFO_FLAGS_OFFSET = 8;

/** A pair of connected links: one here, one in another namespace. Removing either removes both. */
export function addVeth(netlink: Netlink, name: string, peer: { readonly name: string; readonly netns: number }): void {
  const peerInfo = Buffer.concat([
    linkHeader(0),
    encodeAttributes([
      [IFLA.name, cString(peer.name)],
      [IFLA.netnsFd, host32(peer.netns)],
    ]),
  ]);
  const info: Attribute[] = [
    [IFLA_INFO.kind, cString('veth')],
    [IFLA_INFO.data, [[VETH_INFO_PEER, peerInfo]]],
  ];
  const flags = FLAG.create | FLAG.exclusive;
  send(netlink, `link ${name}`, TYPE.newLink, flags, linkHeader(0), [
    [IFLA.name, cString(name)],
    [IFLA.linkInfo, info],
  ]);
}

/**
 * Starts a link.
 *
 * @param isForwarding  whether IPv4 packets that come in by it may go out by another one. This is the link's own
 *                      setting; it needs no writable /proc/sys, which containers often lack.
 */
export function startLink(netlink: Netlink, link: number, isForwarding = false): void {
  const forwarding: Attribute[] = [[IFLA_INET_CONF, [[IPV4_DEVCONF_FORWARDING, host32(1)]]]];
  const attributes: Attribute[] = isForwarding ? [[IFLA.afSpec, [[FAMILY.ipv4, forwarding]]]] : [];
  send(netlink, `start of link ${link}`, TYPE.newLink, 0, linkHeader(link, IFF_UP), attributes);
}

/** Puts a link into a group, a number that only marks it. All links begin in group 0. */
export function setLinkGroup(netlink: Netlink, link: number, group: number): void {
  send(netlink, `group of link ${link}`, TYPE.newLink, 0, linkHeader(link), [[IFLA.group, host32(group)]]);
}

/**
 * Removes all links of a group, with their addresses and routes; it is fine if there is none. Takes about 40 ms
 * however many there are, as the kernel waits until no other processor uses them.
 */
export function removeLinkGroup(netlink: Netlink, group: number): void {
  unlessGone(() => send(netlink, `group ${group}`, TYPE.deleteLink, 0, linkHeader(0), [[IFLA.group, host32(group)]]));
}

/** Removes a link with its addresses and routes; it is fine if it is gone already. Takes about 40 ms. */
export function removeLink(netlink: Netlink, link: number): void {
  unlessGone(() => send(netlink, `removal of link ${link}`, TYPE.deleteLink, 0, linkHeader(link), []));
}

export function listLinks(netlink: Netlink): Link[] {
  return netlink.dump(message('links', TYPE.getLink, 0, linkHeader(0), [])).flatMap(({ type, body }) => {
    const name = findAttribute(body.subarray(IFINFO_BYTES), IFLA.name);
    if (type !== TYPE.newLink || name === undefined) return [];
    return [{ index: readHost32(body, 4), name: name.toString('utf8', 0, name.length - 1) }];
  });
}

/** @throws NetlinkError  ENODEV if there is no such link */
export function linkIndex(netlink: Netlink, name: string): number {
  const ask = message(`link ${name}`, TYPE.getLink, FLAG.ack, linkHeader(0), [[IFLA.name, cString(name)]]);
  const answer = netlink.request([ask])[0];
  if (answer === undefined) throw new NetlinkError(`link ${name}: no answer`, 'ENODEV');
  return readHost32(answer.body, 4);
}

/**
 * Waits until a started link takes packets. A link whose other end comes up later is switched on by a worker of the
 * kernel; what is sent before is lost, and a TCP connection then takes a second longer. Asking makes a kernel from
 * 6.8 on do it at once, older ones need a moment, during which this thread sleeps.
 *
 * @returns false if it does not within `timeoutMs`
 */
export function awaitLink(netlink: Netlink, link: number, timeoutMs = 200): boolean {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const answer = netlink.request([message(`link ${link}`, TYPE.getLink, FLAG.ack, linkHeader(link), [])])[0];
    if (answer !== undefined && (readHost32(answer.body, IFINFO_FLAGS_OFFSET) & IFF_RUNNING) !== 0) return true;
    if (performance.now() >= deadlineMs) return false;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
  }
}

/** Adds an address, usable at once. It is fine if the link has it already. */
export function addAddress(netlink: Netlink, link: number, address: string, prefix: number): void {
  const bytes = addressBytes(address);
  const header = Buffer.concat([Buffer.of(familyOf(bytes), prefix, IFA_F_NODAD, 0), host32(link)]);
  send(netlink, `address ${address}/${prefix}`, TYPE.newAddress, FLAG.create | FLAG.replace, header, [
    [IFA.local, bytes],
    [IFA.address, bytes],
  ]);
}

/** Adds a route to the main table, or replaces the one to the same destination. */
export function addRoute(netlink: Netlink, route: Route): void {
  const { destination, prefix } = route;
  const flags = FLAG.create | FLAG.replace;
  send(netlink, `route ${destination}/${prefix}`, TYPE.newRoute, flags, routeHeader(route), routeAttributes(route));
}

/** Removes a route of the main table; it is fine if it is gone already. */
export function removeRoute(netlink: Netlink, route: Route): void {
  const what = `removal of route ${route.destination}/${route.prefix}`;
  unlessGone(() => send(netlink, what, TYPE.deleteRoute, 0, routeHeader(route), routeAttributes(route)));
}

function unlessGone(remove: () => void): void {
  try {
    remove();
  } catch (error) {
    if (!(error instanceof NetlinkError) || !['ENODEV', 'ESRCH'].includes(error.code)) throw error;
  }
}

function routeHeader({ destination, prefix, gateway }: Route): Buffer {
  const scope = gateway === undefined ? ROUTE.scopeLink : ROUTE.scopeUniverse;
  const family = familyOf(addressBytes(destination));
  return Buffer.of(family, prefix, 0, 0, ROUTE.tableMain, ROUTE.protocolStatic, scope, ROUTE.typeUnicast, 0, 0, 0, 0);
}

function routeAttributes({ destination, prefix, link, gateway, source }: Route): Attribute[] {
  const attributes: Attribute[] = [];
  if (prefix > 0) attributes.push([RTA.destination, addressBytes(destination)]);
  if (link !== undefined) attributes.push([RTA.link, host32(link)]);
  if (gateway !== undefined) attributes.push([RTA.gateway, addressBytes(gateway)]);
  if (source !== undefined) attributes.push([RTA.preferredSource, addressBytes(source)]);
  return attributes;
}

function familyOf(address: Buffer): number {
  return address.length === 4 ? FAMILY.ipv4 : FAMILY.ipv6;
}

/** struct ifinfomsg; the flags are also the mask of flags to change. */
function linkHeader(index: number, flags = 0): Buffer {
  return Buffer.concat([Buffer.alloc(4), host32(index), host32(flags), host32(flags)]);
}

function message(what: string, type: number, flags: number, header: Buffer, attributes: Attribute[]): Message {
  const body = Buffer.concat([header, encodeAttributes(attributes)]);
  return { what, type, flags, fixedBytes: header.length, body };
}

function send(
  netlink: Netlink,
  what: string,
  type: number,
  flags: number,
  header: Buffer,
  attributes: Attribute[],
): void {
  netlink.request([message(what, type, flags | FLAG.ack, header, attributes)]);
}
