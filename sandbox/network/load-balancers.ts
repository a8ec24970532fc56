import type { Logger } from '#runtime/log.ts';
import type { LocalClient } from '../apiserver/local-client.ts';
import { isJsonObject, type KubeObject } from '../apiserver/object.ts';

/**
 * Gives Services of type LoadBalancer the node's address, where their ports are then served. Source: k3s `servicelb`.
 * Two such Services with the same port: the first has it.
 */
export function startLoadBalancers(
  client: Pick<LocalClient, 'watch' | 'patch'>,
  nodeIP: string,
  log: Logger,
): Disposable {
  const apply = (service: KubeObject): void => {
    const spec = isJsonObject(service['spec']) ? service['spec'] : {};
    const wanted = spec['type'] === 'LoadBalancer' ? { ingress: [{ ip: nodeIP, ipMode: 'VIP' }] } : {};
    const status = isJsonObject(service['status']) ? service['status'] : {};
    const has = isJsonObject(status['loadBalancer']) ? status['loadBalancer'] : {};
    if (JSON.stringify(has['ingress']) === JSON.stringify('ingress' in wanted ? wanted.ingress : undefined)) return;
    const { namespace, name } = service.metadata;
    const loadBalancer = 'ingress' in wanted ? wanted : { ingress: null };
    client
      .patch('services', namespace, name, 'merge', { status: { loadBalancer } }, 'status')
      .catch((error: unknown) => {
        log.warn({ err: error, service: `${namespace}/${name}` }, 'cannot write the address of a load balancer');
      });
  };
  return client.watch('services', { apply, delete: () => {} });
}
