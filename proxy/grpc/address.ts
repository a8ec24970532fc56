import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';

/** Where a control-plane service is dialled, and whom it must prove to be. */
export type ControlAddress = {
  readonly host: string; // DNS name, with or without trailing dot, or an IP literal
  readonly port: number;
  /** Identity of the server: SNI, and a name its certificate must hold. Absent only for loopback, which is plain text. */
  readonly identity: string | undefined;
};

/** Loopback control addresses are plain text, as in linkerd2-proxy. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === 'localhost.' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** Addresses of the name now. @throws the resolver's error */
export async function resolve(host: string): Promise<readonly string[]> {
  if (isIP(host) !== 0) return [host];
  if (isLoopback(host)) return ['127.0.0.1'];
  const records = await lookup(host, { family: 4, all: true });
  return records.map((record) => record.address);
}
