import { ProxyError, toProxyError } from '../errors.ts';
import type { Destination, ServerEndpoint } from '../balance/destination.ts';
import type { Connection } from '../transport/connection.ts';
import type { OutboundContext } from './context.ts';
import type { OutboundEndpoint } from './endpoint.ts';

/** Different endpoints that one connection is tried at. */
const ATTEMPTS_MAX = 3;

/**
 * Connects to an endpoint of the destination, another one if that fails. The connection counts as load until it closes.
 *
 * @throws ProxyError  of the last attempt
 */
export async function connectOpaque(
  destination: Destination<OutboundEndpoint>,
  context: OutboundContext,
): Promise<Connection> {
  await someEndpoint(destination, context.failFastMs);
  const failed = new Set<ServerEndpoint>();
  let failure = new ProxyError('no-endpoint', `${destination.name} has had no endpoint for ${context.failFastMs} ms`);
  while (failed.size < ATTEMPTS_MAX) {
    const endpoint = destination.pick(failed);
    if (endpoint === undefined) break;
    const startedMs = context.now();
    endpoint.begin();
    try {
      const connection = await endpoint.connect(undefined);
      endpoint.connected(context.now() - startedMs, context.now());
      connection.socket.once('close', () => endpoint.end());
      return connection;
    } catch (error) {
      endpoint.end();
      endpoint.markUnreachable(context.now());
      failure = toProxyError(error, 'connect-failed');
      failed.add(endpoint);
    }
  }
  throw failure;
}

/** Resolves when the destination has an endpoint, or after `timeoutMs`. */
function someEndpoint(destination: Destination, timeoutMs: number): Promise<void> | undefined {
  if (destination.endpoints.length > 0 || !destination.isDynamic) return undefined;
  return new Promise((resolve) => {
    let change: Disposable;
    const timer = setTimeout(() => {
      change[Symbol.dispose]();
      resolve();
    }, timeoutMs);
    const look = (): void => {
      if (destination.endpoints.length === 0) {
        change = destination.onChange(look);
        return;
      }
      clearTimeout(timer);
      resolve();
    };
    change = destination.onChange(look);
  });
}
