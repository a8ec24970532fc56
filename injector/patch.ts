import { createHash } from 'node:crypto';
import { proxySettings, type AnnotationProblem, type ProxySettings } from './annotations.ts';
import { decide, type Decision } from './decision.ts';
import { allContainers, inboundPorts, ownerOf, type Container, type Pod } from './pod.ts';
import { initContainer, proxyContainer, sidecarVolumes } from './sidecar.ts';
import type { Values } from '#config/values.ts';

/** One operation of a JSON patch (RFC 6902). The webhook only ever adds. */
export type AddOperation = { readonly op: 'add'; readonly path: string; readonly value: unknown };

/** What the injector knows besides the pod. */
export type InjectionContext = {
  readonly values: Values;
  readonly trustAnchorsPem: string;
  readonly namespaceAnnotations: Readonly<Record<string, string>>;
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
  const annotations = pod.metadata?.annotations ?? {};
  const decision = decide(
    {
      annotations,
      isHostNetwork: pod.spec?.hostNetwork === true,
      containerNames: allContainers(pod).map((container) => container.name),
      operatingSystem: pod.spec?.os?.name ?? pod.spec?.nodeSelector?.['kubernetes.io/os'],
    },
    context.namespaceAnnotations,
  );
  const { settings, problems } = proxySettings(context.values.proxy, context.namespaceAnnotations, annotations);
  const isForUs = decision.kind === 'inject';
  const opaque = opaquePortsAnnotation(pod, annotations, context, settings);
  return {
    decision,
    patch: isForUs
      ? sidecarPatch(pod, namespace, context, settings, decision.isIngress, opaque)
      : annotationPatch(pod.metadata?.annotations, opaque),
    problems: isForUs ? [...problems, ...(decision.isIngress ? [INGRESS_PROBLEM] : [])] : [],
  };
}

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
  const { values, trustAnchorsPem, namespaceAnnotations } = context;
  const input = { values, settings, trustAnchorsPem, inboundPorts: inboundPorts(pod), isIngress };
  const owner = ownerOf(pod);
  const inherited = Object.fromEntries(
    Object.entries(namespaceAnnotations).filter(
      ([key]) => key.startsWith('config.linkerd.io/') && pod.metadata?.annotations?.[key] === undefined,
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
    add('/spec/initContainers/1', proxyContainer(input)),
  ];
}

/**
 * The opaque ports that discovery reads from the pod: the namespace's value, else the default ports that this pod has.
 * Also for pods that get no proxy, since meshed clients must know them. Source: linkerd2 `pkg/inject` `CreateOpaquePortsPatch`.
 */
function opaquePortsAnnotation(
  pod: Pod,
  annotations: Readonly<Record<string, string>>,
  context: InjectionContext,
  settings: ProxySettings,
): Readonly<Record<string, string>> {
  if (annotations[OPAQUE_PORTS] !== undefined) return {};
  const inherited = context.namespaceAnnotations[OPAQUE_PORTS];
  if (inherited !== undefined) return { [OPAQUE_PORTS]: inherited };
  const defaults = settings.opaquePorts.split(',');
  const own = allContainers(pod).flatMap((container: Container) =>
    (container.ports ?? []).map((port) => String(port.containerPort)),
  );
  const both = defaults.filter((port) => own.includes(port));
  return both.length === 0 ? {} : { [OPAQUE_PORTS]: both.join(',') };
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
