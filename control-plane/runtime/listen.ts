import type { ListenOptions, Server } from 'node:net';

/** Whether listening failed since there are no addresses of that family. */
export function isFamilyMissing(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL' || code === 'EINVAL';
}

/**
 * Begins to listen. On `::` that takes IPv4 too, and only that where the kernel has no IPv6.
 *
 * @throws the listen error (`EADDRINUSE` and the like)
 */
export async function listen(server: Server, options: ListenOptions): Promise<void> {
  try {
    await listenOnce(server, options);
  } catch (error) {
    if (options.host !== '::' || !isFamilyMissing(error)) throw error;
    await listenOnce(server, { ...options, host: '0.0.0.0' });
  }
}

function listenOnce(server: Server, options: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(options, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
