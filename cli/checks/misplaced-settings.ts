import { annotationMistakes } from '../../control-plane/dialects/known-annotations.ts';
import { isConfigurationLabel } from '../../control-plane/findings/misplaced.ts';
import type { ApiObject, Cluster } from '../cluster.ts';
import { Finding, type Check } from './check.ts';
import { livePods } from './live-pods.ts';

const MAX_NAMED = 10;
const OPAQUE_PORTS = 'config.linkerd.io/opaque-ports';

/** Each line says whether the name is wrong or the place, and what is right. */
const MISTAKES_HINT = 'correct the name, or move the annotation to an object where it has an effect, as the line says';

/** Settings that stand where nobody reads them, in one namespace or in all. */
export function misplacedSettingChecks(
  cluster: Cluster,
  namespace: string | undefined,
  meshedPods: () => Promise<readonly ApiObject[]>,
): readonly Check[] {
  const scope = namespace === undefined ? '' : `/namespaces/${namespace}`;
  const services = (): Promise<readonly ApiObject[]> => cluster.list(`/api/v1${scope}/services`);
  const namespaces = async (): Promise<readonly ApiObject[]> =>
    (await cluster.list('/api/v1/namespaces')).filter(
      ({ metadata }) => namespace === undefined || metadata.name === namespace,
    );
  const check = (description: string, hint: string, find: () => Promise<readonly string[]>): Check => ({
    description,
    hint,
    severity: 'warning',
    run: async () => {
      const found = await find();
      if (found.length > 0) throw new Finding(found.slice(0, MAX_NAMED).join('\n'));
    },
  });
  const labelled = (object: ApiObject): readonly string[] =>
    Object.keys(object.metadata.labels ?? {})
      .filter(isConfigurationLabel)
      .map((key) => `${nameOf(object)}: ${key} is a label`);
  return [
    check(
      'no setting of a namespace or pod is a label',
      'make it an annotation, of the namespace or of the pod template; as a label it has no effect',
      async () => [...(await namespaces()), ...(await livePods(cluster, namespace))].flatMap(labelled),
    ),
    check('no setting of a Service is a label', 'make it an annotation; as a label it has no effect', async () =>
      (await services()).flatMap(labelled),
    ),
    check('annotations of Services are those that Services have', MISTAKES_HINT, async () =>
      (await services()).flatMap((service) => mistakes(service, 'Service')),
    ),
    check('annotations of namespaces and pods are those that they have', MISTAKES_HINT, async () => [
      ...(await namespaces()).flatMap((one) => mistakes(one, 'Namespace')),
      ...(await livePods(cluster, namespace)).flatMap((one) => mistakes(one, 'Pod')),
    ]),
    check(
      'opaque ports of Services are those of their pods',
      `set ${OPAQUE_PORTS} on both, or on the namespace: clients read the Service, the proxy of the pod reads the pod`,
      async () => disagreements(await services(), await meshedPods()),
    ),
    check(
      'namespaces with inject enabled can have webhooks',
      'remove the label config.linkerd.io/admission-webhooks=disabled, or the annotation: with both no pod gets a proxy',
      async () =>
        (await namespaces())
          .filter(
            ({ metadata }) =>
              metadata.labels?.['config.linkerd.io/admission-webhooks'] === 'disabled' &&
              ['enabled', 'ingress'].includes(metadata.annotations?.['linkerd.io/inject'] ?? ''),
          )
          .map(({ metadata }) => metadata.name),
    ),
  ];
}

/** Annotations that nobody reads from objects of a kind. */
function mistakes(object: ApiObject, kind: string): readonly string[] {
  return annotationMistakes(object.metadata.annotations ?? {}, kind).map(
    ({ annotation, message }) => `${nameOf(object)}: ${annotation} ${message}`,
  );
}

function nameOf({ metadata: { name, namespace } }: ApiObject): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

type Port = { readonly port: number; readonly targetPort?: number | string };

/** Ports that the Service calls opaque and a pod behind it does not, as Linkerd reports them. */
function disagreements(services: readonly ApiObject[], pods: readonly ApiObject[]): readonly string[] {
  return services.flatMap((service) => {
    const opaque = portNumbers(service.metadata.annotations?.[OPAQUE_PORTS] ?? '');
    const { selector, ports = [] } = (service['spec'] ?? {}) as {
      selector?: Readonly<Record<string, string>>;
      ports?: readonly Port[];
    };
    if (opaque.size === 0 || selector === undefined) return [];
    const behind = pods.filter(
      ({ metadata }) =>
        metadata.namespace === service.metadata.namespace &&
        Object.entries(selector).every(([key, value]) => metadata.labels?.[key] === value),
    );
    const targets = ports
      .filter(({ port }) => opaque.has(port))
      .map(({ port, targetPort = port }) => targetPort)
      .filter((target) => typeof target === 'number');
    return behind.flatMap((pod) => {
      const own = portNumbers(pod.metadata.annotations?.[OPAQUE_PORTS] ?? '');
      const missing = targets.filter((target) => !own.has(target));
      return missing.length === 0
        ? []
        : [`${nameOf(service)} calls port ${missing.join(', ')} opaque, pod ${nameOf(pod)} does not`];
    });
  });
}

/** Numbers and short ranges of a port list; names and nonsense are told by another check. */
function portNumbers(text: string): ReadonlySet<number> {
  return new Set(
    text.split(',').flatMap((part) => {
      const [, from, to = from] = /^\s*(\d{1,5})(?:-(\d{1,5}))?\s*$/.exec(part) ?? [];
      if (from === undefined) return [];
      const count = Math.min(Math.max(Number(to) - Number(from) + 1, 0), 65_536);
      return Array.from({ length: count }, (_, index) => Number(from) + index);
    }),
  );
}
