import type { KubeObject } from '../object.ts';
import { asString, field, fieldAt, objectsIn } from '../objects/json.ts';
import { badRequest } from '../status-error.ts';

/** A boolean parameter as Go reads it: absent, `false` and `0` are false, all else is true, also the empty value. */
export function flag(query: URLSearchParams, name: string): boolean {
  const value = query.get(name);
  return value !== null && value.toLowerCase() !== 'false' && value !== '0';
}

function containerNames(pod: KubeObject, list: string): readonly string[] {
  return objectsIn(fieldAt(pod, 'spec', list)).map((container) => asString(field(container, 'name')));
}

/**
 * The container that the parameter `container` names, or the only one.
 *
 * Throws 400 in the words of kube-apiserver where the choice is not clear.
 */
export function chooseContainer(pod: KubeObject, query: URLSearchParams): string {
  const { name } = pod.metadata;
  const containers = containerNames(pod, 'containers');
  const initContainers = containerNames(pod, 'initContainers');
  const wanted = query.get('container') ?? '';
  if (wanted === '') {
    const [only] = containers;
    if (only !== undefined && containers.length === 1) return only;
    const init = initContainers.length === 0 ? '' : ` or one of the init containers: [${initContainers.join(' ')}]`;
    throw badRequest(
      `a container name must be specified for pod ${name}, choose one of: [${containers.join(' ')}]${init}`,
    );
  }
  const known = [...containers, ...initContainers, ...containerNames(pod, 'ephemeralContainers')];
  if (!known.includes(wanted)) throw badRequest(`container ${wanted} is not valid for pod ${name}`);
  return wanted;
}

/** The namespace of a pod, which always has one. */
export function namespaceOf(pod: KubeObject): string {
  return pod.metadata.namespace ?? 'default';
}
