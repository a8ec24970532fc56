import { createHash } from 'node:crypto';
import { isConfiguration, proxySettings, type AnnotationProblem, type ProxySettings } from './annotations.ts';
import { hasPort, VALUE_LENGTH_MAX } from './annotation-values.ts';
import { decide, type Decision, type NamespaceFacts } from './decision.ts';
import { allContainers, inboundPorts, ownerOf, type Pod } from './pod.ts';
import { initContainer, proxyContainer, sidecarVolumes } from './sidecar.ts';
import type { Values } from '#config/values.ts';

/** One operation of a JSON patch (RFC 6902). The webhook only ever adds. */
export type AddOperation = { readonly op: 'add'; readonly path: string; readonly value: unknown };

/** What the injector knows besides the pod. */
export type InjectionContext = {
  readonly values: Values;
  readonly trustAnchorsPem: string;
  readonly namespace: NamespaceFacts;
};

export type PodOutcome = {
  readonly decision: Decision;
  readonly patch: readonly AddOperation[];
  readonly problems: readonly AnnotationProblem[];
};

const OPAQUE_PORTS = 'config.linkerd.io/opaque-ports';

/**
 * Decides about one pod and makes the patch for it. Pure: the same pod and context give the same patch, and a pod that has
 * a sidecar already gets none.
 */
export function injectPod(pod: Pod, namespace: string, context: InjectionContext): PodOutcome {
  const annotations = pod.metadata?.annotations;
  const decision = decide(pod, context.namespace, context.values.cni.enabled);
  const { settings, problems } = proxySettings(context.values.proxy, context.namespace.annotations, annotations ?? {});
  const opaque = opaquePortsAnnotation(annotations, defaultOpaquePorts(pod, context.values), context);
  if (decision.kind === 'skip') return { decision, patch: annotationPatch(annotations, opaque), problems: [] };
  return {
    decision,
    patch: sidecarPatch(pod, namespace, context, settings, decision.isIngress, opaque),
    problems: [...problems, ...(decision.isIngress ? [INGRESS_PROBLEM] : []), ...takenPorts(pod, settings)],
  };
}

/**
 * The patch for a Service: it gets the opaque ports of its namespace, or those of the default list that it has, so that
 * meshed clients know them. Source: linkerd2 `pkg/inject` `CreateOpaquePortsPatch`.
 */
export function annotateService(service: ServiceFacts, context: InjectionContext): readonly AddOperation[] {
  return annotationPatch(service.annotations, opaquePortsAnnotation(service.annotations, service.opaquePorts, context));
}

/** The part of a Service that decides about its opaque ports. */
export type ServiceFacts = {
  readonly annotations: Readonly<Record<string, string>> | undefined;
  readonly opaquePorts: readonly number[]; // whose target is in the default list
};

const INGRESS_PROBLEM: AnnotationProblem = {
  annotation: 'linkerd.io/inject',
  message:
    'linkerd.io/inject: "ingress" is treated as "enabled": routing by l5d-dst-override is not available in this version',
};

function sidecarPatch(
  pod: Pod,
  namespace: string,
  context: InjectionContext,
  settings: ProxySettings,
  isIngress: boolean,
  opaque: Readonly<Record<string, string>>,
): readonly AddOperation[] {
  const { values, trustAnchorsPem } = context;
  const input = { values, settings, trustAnchorsPem, inboundPorts: inboundPorts(pod), isIngress };
  const owner = ownerOf(pod);
  const inherited = Object.fromEntries(
    Object.entries(context.namespace.annotations).filter(
      ([key, { length }]) =>
        isConfiguration(key) && length <= VALUE_LENGTH_MAX && pod.metadata?.annotations?.[key] === undefined,
    ),
  );
  return [
    ...annotationPatch(pod.metadata?.annotations, {
      'linkerd.io/created-by': `tulle/injector ${values.version}`,
      'linkerd.io/proxy-version': values.version,
      'linkerd.io/trust-root-sha256': createHash('sha256').update(trustAnchorsPem).digest('hex'),
      ...inherited,
      ...opaque,
    }),
    ...mapPatch('/metadata/labels', pod.metadata?.labels, {
      'linkerd.io/control-plane-ns': values.namespace,
      'linkerd.io/workload-ns': namespace,
      ...(owner === undefined ? {} : { [`linkerd.io/proxy-${owner.kind}`]: labelValue(owner.name) }),
    }),
    ...(pod.spec?.volumes === undefined ? [add('/spec/volumes', [])] : []),
    ...sidecarVolumes().map((volume) => add('/spec/volumes/-', volume)),
    ...(pod.spec?.initContainers === undefined ? [add('/spec/initContainers', [])] : []),
    add('/spec/initContainers/0', initContainer(input)),
    add(settings.isNativeSidecar ? '/spec/initContainers/1' : '/spec/containers/0', proxyContainer(input)),
  ];
}

/** Containers that listen where the proxy does: one of the two cannot start. */
function takenPorts(pod: Pod, settings: ProxySettings): readonly AnnotationProblem[] {
  const { inboundPort, outboundPort, controlPort, adminPort } = settings;
  const own = Object.entries({
    'inbound-port': inboundPort,
    'outbound-port': outboundPort,
    'control-port': controlPort,
    'admin-port': adminPort,
  });
  const declared = inboundPorts(pod);
  return own
    .filter(([, port]) => declared.includes(port))
    .map(([name, port]) => ({
      annotation: `config.linkerd.io/${name}`,
      message: `a container says it listens on ${port}, as the proxy does: give the proxy another port by config.linkerd.io/${name}`,
    }));
}

/**
 * The opaque ports that discovery reads: the namespace's value, else the default ports that the object has. Also for pods
 * that get no proxy, since meshed clients must know them. Source: linkerd2 `pkg/inject` `CreateOpaquePortsPatch`.
 */
function opaquePortsAnnotation(
  annotations: Readonly<Record<string, string>> | undefined,
  defaults: readonly number[],
  { namespace }: InjectionContext,
): Readonly<Record<string, string>> {
  if (annotations?.[OPAQUE_PORTS] !== undefined) return {};
  const inherited = namespace.annotations[OPAQUE_PORTS];
  if (inherited !== undefined && inherited.length <= VALUE_LENGTH_MAX) return { [OPAQUE_PORTS]: inherited };
  const ports = [...new Set(defaults)].sort((a, b) => a - b);
  return ports.length === 0 ? {} : { [OPAQUE_PORTS]: ports.join(',') };
}

function defaultOpaquePorts(pod: Pod, { proxy }: Values): readonly number[] {
  return allContainers(pod)
    .flatMap((container) => (container.ports ?? []).map(({ containerPort }) => containerPort))
    .filter((port) => hasPort(proxy.opaquePorts, port));
}

function annotationPatch(
  existing: Readonly<Record<string, string>> | undefined,
  added: Readonly<Record<string, string>>,
): readonly AddOperation[] {
  return mapPatch('/metadata/annotations', existing, added);
}

function mapPatch(
  path: string,
  existing: Readonly<Record<string, string>> | undefined,
  added: Readonly<Record<string, string>>,
): readonly AddOperation[] {
  const entries = Object.entries(added);
  if (entries.length === 0) return [];
  return [
    ...(existing === undefined ? [add(path, {})] : []),
    ...entries.map(([key, value]) => add(`${path}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`, value)),
  ];
}

function add(path: string, value: unknown): AddOperation {
  return { op: 'add', path, value };
}

/** A label value holds 63 characters and must not end in punctuation; names of workloads may be longer. */
function labelValue(name: string): string {
  return name.slice(0, 63).replace(/[^a-zA-Z0-9]+$/, '');
}
