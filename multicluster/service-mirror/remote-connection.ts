import { parse } from 'yaml';
import type { Connection, Credentials } from '#k8s/connection.ts';
import { asList, asObject, asText } from '#k8s/json.ts';

/**
 * The API server of a linked cluster, by a kubeconfig with one cluster and a token, as `link-gen` writes it. Never runs
 * a credential plugin and reads no file: the text comes from a Secret.
 *
 * @throws Error  naming what is missing
 */
export function remoteConnection(kubeconfig: string): Connection {
  const config = asObject(parse(kubeconfig, { maxAliasCount: 0 }));
  const cluster = asObject(asObject(asList(config['clusters'])[0])['cluster']);
  const user = asObject(asObject(asList(config['users'])[0])['user']);
  const server = asText(cluster['server']) ?? '';
  const ca = asText(cluster['certificate-authority-data']);
  const token = asText(user['token']);
  if (!URL.canParse(server)) throw new Error(`the kubeconfig names "${server}" as the server, which is not a URL`);
  if (token === undefined) throw new Error('the kubeconfig has no token');
  if (ca === undefined) throw new Error('the kubeconfig has no certificate-authority-data');
  const credentials: Credentials = {
    headers: { authorization: `Bearer ${token}` },
    tls: { ca: Buffer.from(ca, 'base64').toString('utf8') },
  };
  return { server: new URL(server), credentials: () => Promise.resolve(credentials), refresh() {} };
}
