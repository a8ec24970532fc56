import { isIP } from 'node:net';

/** A request for a name that is not ours; the message says what to do. */
class HostError extends Error {
  readonly statusCode = 421;
}

/**
 * Refuses requests for names that are not ours: a web page whose own name is made to point here (DNS rebinding) could else
 * read everything through the browser of somebody who may. Addresses are safe: no name can be rebound to them.
 *
 * @param host   the Host header
 * @param names  our own, besides `localhost`
 * @throws HostError
 */
export function assertTrustedHost(host: string | undefined, names: readonly string[] = []): void {
  const name = (host ?? '').replace(/:\d{1,5}$/, '').toLowerCase();
  const address = /^\[(.*)\]$/.exec(name)?.[1] ?? name;
  if (name === 'localhost' || isIP(address) !== 0 || names.includes(name)) return;
  throw new HostError(
    `requests for host "${name.slice(0, 253)}" are refused, against DNS rebinding: use localhost or ${names[0] ?? '127.0.0.1'}, or let the proxy in front set the Host header to that`,
  );
}
