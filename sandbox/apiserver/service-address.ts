import { isJsonObject } from './object.ts';
import type { Store } from './store.ts';
import type { ResolveService } from './webhook-call.ts';

/** Resolves Services to their cluster IP, which the node's network leads to the pods. */
export function clusterIpOf(store: Store): ResolveService {
  return (namespace, name, port) => {
    const service = store.get('services', namespace, name);
    if (service === undefined) throw new Error(`service ${JSON.stringify(name)} not found`);
    const spec = isJsonObject(service['spec']) ? service['spec'] : {};
    const { clusterIP } = spec;
    if (typeof clusterIP !== 'string' || clusterIP === '' || clusterIP === 'None') {
      throw new Error(`service ${JSON.stringify(`${namespace}/${name}`)} has no cluster IP`);
    }
    return { address: clusterIP, port };
  };
}
