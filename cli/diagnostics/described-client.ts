import type { Client } from '#model/authorization.ts';
import { isTerminating } from '#k8s/resources/metadata.ts';
import { PODS, type Pod } from '#k8s/resources/pod.ts';
import { ApiError, type Cluster } from '../cluster.ts';
import { UsageError } from '../command.ts';

/** Source: RFC 1123 subdomain, which names of service accounts are. */
const NAME = /^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$/;

/** Of whom a command is asked; absent: of somebody without mesh TLS. */
export type Account = { readonly name: string; readonly namespace: string };

/** Somebody who may or may not be let in, and what is known of where they are. */
export type DescribedClient = {
  readonly client: Client;
  readonly pod?: string; // NAMESPACE/NAME, whose address it is
  readonly isAssumed: boolean; // the address is that of another pod of the cluster
};

/**
 * Reads `ACCOUNT`, `ACCOUNT.NS`, a whole identity, or `unmeshed`.
 *
 * @param suffix  of identities in this installation
 * @throws UsageError
 */
export function parseAccount(text: string, namespace: string, suffix: string): Account | undefined {
  if (text === 'unmeshed') return undefined;
  const [name = '', own = namespace, ...more] = (
    text.endsWith(`.${suffix}`) ? text.slice(0, -suffix.length - 1) : text
  ).split('.');
  if (!NAME.test(name) || !NAME.test(own) || more.length > 0)
    throw new UsageError(`--as is "${text}": write ACCOUNT.NAMESPACE or unmeshed`);
  return { name, namespace: own };
}

/**
 * The client as the proxy of a server would see it. Without an address it is at that of a pod which runs with the account; where
 * there is none, at that of the server's pod, which stands for any of the cluster.
 */
export async function describedClient(
  cluster: Cluster,
  account: Account | undefined,
  suffix: string,
  address: string | undefined,
  server: Pod,
): Promise<DescribedClient> {
  const tls: Client['tls'] =
    account === undefined
      ? { kind: 'none' }
      : { kind: 'mesh', identity: `${account.name}.${account.namespace}.${suffix}` };
  if (address !== undefined) return { client: { address, tls }, isAssumed: false };
  const pod = account && (await podsAs(cluster, account)).find(({ ips }) => ips.length > 0);
  if (pod !== undefined)
    return { client: { address: pod.ips[0] ?? '', tls }, pod: `${pod.namespace}/${pod.name}`, isAssumed: false };
  return { client: { address: server.ips[0] ?? '10.0.0.1', tls }, isAssumed: true };
}

async function podsAs(cluster: Cluster, { name, namespace }: Account): Promise<readonly Pod[]> {
  const path = `/api/v1/namespaces/${namespace}/pods?fieldSelector=${encodeURIComponent(`spec.serviceAccountName=${name}`)}`;
  const pods = await cluster.list(path).catch((error: unknown) => {
    if (error instanceof ApiError && error.code === 403) return []; // who may look at the server may not look at its clients
    throw error;
  });
  return pods
    .filter((object) => !isTerminating(object))
    .flatMap((object) => PODS.parse(object) ?? [])
    .filter(({ isFinished }) => !isFinished);
}

/** `Client:    cart.shop.serviceaccount… at 10.42.0.7 (pod shop/cart-x)`. */
export function describeClient({ client, pod, isAssumed }: DescribedClient): string {
  const who = client.tls.kind === 'none' ? 'no mesh TLS' : (client.tls.identity ?? 'no client certificate');
  const assumed = isAssumed
    ? ', the address of the workload itself, for any pod of the cluster: --address names another'
    : '';
  return `Client:    ${who} at ${client.address}${pod === undefined ? '' : ` (pod ${pod})`}${assumed}\n`;
}
