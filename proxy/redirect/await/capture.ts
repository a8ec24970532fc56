import { randomBytes } from 'node:crypto';
import { connect, createServer, isIPv6 } from 'node:net';
import type { RedirectOptions } from '#netlink/redirect.ts';

const FIRST_PORT = 20_001; // that of Linkerd's network validator
const PORT_MAX = 65_535;
const ATTEMPT_MS = 1_000;
const TOKEN_BYTES = 16;

/**
 * A port to which connections of the application are redirected.
 *
 * @throws Error  when all are skipped
 */
export function portToTry({ outboundSkip }: Pick<RedirectOptions, 'outboundSkip'>): number {
  for (let port = FIRST_PORT; port <= PORT_MAX; port += 1)
    if (!outboundSkip.some(({ first, last }) => first <= port && port <= last)) return port;
  throw new Error(`--outbound-ports-to-ignore leaves no port from ${FIRST_PORT} on: nothing could be redirected`);
}

/**
 * Whether a connection to an address of somebody else comes out at the proxy's outbound port, where nobody listens yet. Only
 * who listens there knows the token.
 *
 * @param target  an address that a pod has a route to; nobody needs to answer there
 * @throws the listen error, `EADDRINUSE` apart: then a proxy runs, and ran only in a pod that was redirected
 */
export async function isCaptured(
  outboundPort: number,
  target: { readonly host: string; readonly port: number },
): Promise<boolean> {
  const token = randomBytes(TOKEN_BYTES);
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.end(token);
  });
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(outboundPort, isIPv6(target.host) ? '::1' : '127.0.0.1', resolve);
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return true;
    throw error;
  }
  try {
    return await answers(target, token);
  } finally {
    await new Promise((resolve) => void server.close(resolve));
  }
}

function answers(target: { readonly host: string; readonly port: number }, token: Buffer): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(target);
    let got = Buffer.alloc(0);
    const settle = (isSame: boolean): void => {
      socket.destroy();
      resolve(isSame);
    };
    socket.setTimeout(ATTEMPT_MS, () => settle(false));
    socket.on('error', () => settle(false));
    socket.on('close', () => settle(got.equals(token)));
    socket.on('data', (data: Buffer) => {
      got = Buffer.concat([got, data]);
      if (got.length >= TOKEN_BYTES) settle(got.equals(token));
    });
  });
}
