import type { V1EnvVar } from '@kubernetes/client-node';

import type { KubeObject } from '../apiserver/object.ts';
import { fieldRefValue, resourceValue, type PodFacts } from './downward.ts';
import type { Container, Pod } from './pod.ts';

/** Reads from the pod's namespace. */
export type NamespaceReader = {
  configMap(name: string): KubeObject | undefined;
  secret(name: string): KubeObject | undefined;
  services(): readonly KubeObject[];
};

/** The container refers to something that is missing. The message is the one of a kubelet. */
export class ContainerConfigError extends Error {
  override readonly name = 'ContainerConfigError';
}

/**
 * Environment of a container: services, then envFrom, then env, later ones winning.
 *
 * @param base  what the image and the runtime set
 * @throws ContainerConfigError  for a missing ConfigMap, Secret or key that is not optional
 */
export function containerEnvironment(
  pod: Pod,
  container: Container,
  facts: PodFacts,
  reader: NamespaceReader,
  base: Readonly<Record<string, string>>,
): Record<string, string> {
  const environment: Record<string, string> = {
    ...base,
    ...serviceEnvironment(reader.services(), pod.spec.enableServiceLinks !== false),
    ...fromSources(container, reader),
  };
  for (const variable of container.env ?? []) {
    const value = variableValue(variable, pod, container, facts, reader, environment);
    if (value !== undefined) environment[variable.name] = value;
  }
  return environment;
}

/**
 * Replaces `$(NAME)` by the variable; `$$` stands for `$` and an unknown name stays as it is.
 * Source: k8s.io/kubernetes third_party/forked/golang/expansion.
 */
export function expand(text: string, variables: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\$\$|\$\(([^()]*)\)/g, (match, name: string | undefined) => {
    if (match === '$$') return '$';
    return name === undefined ? match : (variables[name] ?? match);
  });
}

/** Data of a ConfigMap or Secret as text. */
export function objectData(object: KubeObject, kind: 'configMap' | 'secret'): Map<string, Buffer> {
  const data = new Map<string, Buffer>();
  const text = (object['data'] ?? {}) as Record<string, string>;
  for (const [key, value] of Object.entries(text)) {
    data.set(key, Buffer.from(value, kind === 'secret' ? 'base64' : 'utf8'));
  }
  const binary = (object['binaryData'] ?? {}) as Record<string, string>;
  for (const [key, value] of Object.entries(binary)) data.set(key, Buffer.from(value, 'base64'));
  return data;
}

function fromSources(container: Container, reader: NamespaceReader): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const source of container.envFrom ?? []) {
    const kind = source.configMapRef === undefined ? 'secret' : 'configMap';
    const ref = source.configMapRef ?? source.secretRef;
    if (ref?.name === undefined) continue;
    const object = kind === 'configMap' ? reader.configMap(ref.name) : reader.secret(ref.name);
    if (object === undefined) {
      if (ref.optional === true) continue;
      throw new ContainerConfigError(`${kind.toLowerCase()} "${ref.name}" not found`);
    }
    for (const [key, value] of objectData(object, kind)) environment[`${source.prefix ?? ''}${key}`] = value.toString();
  }
  return environment;
}

function variableValue(
  variable: V1EnvVar,
  pod: Pod,
  container: Container,
  facts: PodFacts,
  reader: NamespaceReader,
  sofar: Readonly<Record<string, string>>,
): string | undefined {
  const from = variable.valueFrom;
  if (from === undefined) return expand(variable.value ?? '', sofar);
  if (from.fieldRef !== undefined) return fieldRefValue(pod, facts, from.fieldRef) ?? '';
  if (from.resourceFieldRef !== undefined) {
    const name = from.resourceFieldRef.containerName;
    const other =
      name === undefined
        ? container
        : [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].find((c) => c.name === name);
    return resourceValue(other ?? container, facts, from.resourceFieldRef) ?? '';
  }
  const kind = from.configMapKeyRef === undefined ? 'secret' : 'configMap';
  const ref = from.configMapKeyRef ?? from.secretKeyRef;
  if (ref?.name === undefined) return '';
  const object = kind === 'configMap' ? reader.configMap(ref.name) : reader.secret(ref.name);
  const value = object === undefined ? undefined : objectData(object, kind).get(ref.key);
  if (value !== undefined) return value.toString();
  if (ref.optional === true) return undefined;
  if (object === undefined) throw new ContainerConfigError(`${kind.toLowerCase()} "${ref.name}" not found`);
  const place = `${object.metadata.namespace ?? ''}/${ref.name}`;
  throw new ContainerConfigError(
    `couldn't find key ${ref.key} in ${kind === 'secret' ? 'Secret' : 'ConfigMap'} ${place}`,
  );
}

type ServicePort = { name?: string; port: number; protocol?: string };
type ServiceSpec = { clusterIP?: string; ports?: ServicePort[] };

/**
 * Docker-style variables of the namespace's services; without links only those of `kubernetes`.
 * Source: kubelet `envvars.FromServices`.
 */
function serviceEnvironment(services: readonly KubeObject[], hasLinks: boolean): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const service of services) {
    const { clusterIP, ports = [] } = (service['spec'] ?? {}) as ServiceSpec;
    const isApi = service.metadata.name === 'kubernetes' && service.metadata.namespace === 'default';
    if (clusterIP === undefined || clusterIP === '' || clusterIP === 'None' || ports[0] === undefined) continue;
    if (!hasLinks && !isApi) continue;
    const prefix = service.metadata.name.toUpperCase().replaceAll('-', '_');
    environment[`${prefix}_SERVICE_HOST`] = clusterIP;
    environment[`${prefix}_SERVICE_PORT`] = String(ports[0].port);
    environment[`${prefix}_PORT`] = portUrl(clusterIP, ports[0]);
    for (const port of ports) {
      if (port.name !== undefined && port.name !== '') {
        environment[`${prefix}_SERVICE_PORT_${port.name.toUpperCase().replaceAll('-', '_')}`] = String(port.port);
      }
      const protocol = port.protocol ?? 'TCP';
      const one = `${prefix}_PORT_${port.port}_${protocol.toUpperCase()}`;
      environment[one] = portUrl(clusterIP, port);
      environment[`${one}_PROTO`] = protocol.toLowerCase();
      environment[`${one}_PORT`] = String(port.port);
      environment[`${one}_ADDR`] = clusterIP;
    }
  }
  return environment;
}

function portUrl(address: string, port: ServicePort): string {
  return `${(port.protocol ?? 'TCP').toLowerCase()}://${address}:${port.port}`;
}
