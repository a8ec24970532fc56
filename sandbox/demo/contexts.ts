import { readFileSync } from 'node:fs';
import { parse, stringify } from 'yaml';

type Entry = { readonly name: string };
type Kubeconfig = {
  readonly clusters: readonly (Entry & { readonly cluster: object })[];
  readonly users: readonly (Entry & { readonly user: object })[];
};

/**
 * One kubeconfig with a context for each cluster, so that `kubectl --context NAME` chooses. The first one is current.
 *
 * @param files  kubeconfig of one cluster and one user, by the name of the context
 */
export function mergedKubeconfig(files: Readonly<Record<string, string>>): string {
  const configs = Object.entries(files).map(([name, file]) => {
    const { clusters, users } = parse(readFileSync(file, 'utf8')) as Kubeconfig;
    return { name, cluster: clusters[0]?.cluster, user: users[0]?.user };
  });
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: configs.map(({ name, cluster }) => ({ name, cluster })),
    users: configs.map(({ name, user }) => ({ name, user })),
    contexts: configs.map(({ name }) => ({ name, context: { cluster: name, user: name, namespace: 'default' } })),
    'current-context': configs[0]?.name,
  });
}
