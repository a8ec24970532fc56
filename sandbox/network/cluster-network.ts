import type { Logger } from '#runtime/log.ts';

import type { LocalClient } from '../apiserver/local-client.ts';
import { CLUSTER_DOMAIN, DEFAULT_ADDRESSES, DNS_PORT, type ClusterAddresses } from './addresses.ts';
import { DnsServer } from './dns.ts';
import { ServiceIndex } from './service-index.ts';
import { ServiceTranslation } from './services.ts';

/** Service addresses and names of a cluster, in the network namespace that this process lives in. */
export type ClusterNetwork = AsyncDisposable & { readonly services: ServiceTranslation; readonly dns: DnsServer };

/**
 * Starts what pods need beside their links: Service addresses and DNS at 10.96.0.10. Make `new PodNetworks([DNS_IP])`
 * first, which gives the node its addresses.
 *
 * @param options.forward  see `DnsOptions`
 */
export async function startClusterNetwork(
  client: Pick<LocalClient, 'watch'>,
  options: {
    readonly log: Logger;
    readonly clusterDomain?: string;
    readonly addresses?: ClusterAddresses;
    readonly forward?: (query: Buffer) => Promise<Buffer>;
  },
): Promise<ClusterNetwork> {
  const { log, clusterDomain = CLUSTER_DOMAIN, addresses = DEFAULT_ADDRESSES, forward } = options;
  const { dnsIP } = addresses;
  await using stack = new AsyncDisposableStack();
  const index = stack.use(new ServiceIndex(client));
  const services = stack.use(new ServiceTranslation(index, [dnsIP], log, addresses));
  const dnsOptions = { address: dnsIP, port: DNS_PORT, clusterDomain, log };
  const dns = stack.use(await DnsServer.start(index, forward === undefined ? dnsOptions : { ...dnsOptions, forward }));
  const started = stack.move();
  return { services, dns, [Symbol.asyncDispose]: () => started.disposeAsync() };
}
