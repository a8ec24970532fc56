import { cniNamespace } from '#config/names.ts';
import { defaultValues } from '#config/values.ts';
import { isSupported, SUPPORTED_MINORS } from '#config/version-skew.ts';
import { VERSION } from '#config/version.ts';
import { configurationChecks } from './configuration.ts';
import { proxySettings } from '../../injector/annotations.ts';
import {
  ADDED_CONTAINERS,
  INJECT_ANNOTATION,
  PROXY_CONTAINER,
  VALIDATOR_CONTAINER,
  decide,
  isInjectValue,
} from '../../injector/decision.ts';
import { parsePod } from '../../injector/pod.ts';
import { NAMESPACES, Namespaces } from '../../injector/namespaces.ts';
import { isUnmeshed, repairObstacle } from '../../injector/repair/candidate.ts';
import { LIVE_PODS } from '../../injector/repair/pods.ts';
import type { ApiObject, Cluster } from '../cluster.ts';
import { CommandError } from '../command.ts';
import { installedValues } from '../installed-values.ts';
import { adminPort, askPod } from '../pod-http.ts';
import { reasonOf } from '../reason.ts';
import { Finding, report, type Category } from './check.ts';
import { livePods } from './live-pods.ts';
import { misplacedSettingChecks } from './misplaced-settings.ts';
import { podProblem } from './pod-problems.ts';
import { proxyAnchorChecks } from './proxy-anchors.ts';

const MAX_NAMED = 10; // pods named in one message
const READY_ANSWER_MS = 2_000;

/** What must hold for the proxies, in one namespace or in all. */
export function dataPlaneChecks(
  cluster: Cluster,
  controlNamespace: string,
  namespace: string | undefined,
): readonly Category[] {
  const pods = (): Promise<readonly ApiObject[]> => livePods(cluster, namespace);
  const meshed = async (): Promise<readonly ApiObject[]> =>
    (await pods()).filter((pod) => pod.metadata.labels?.['linkerd.io/control-plane-ns'] === controlNamespace);
  const namespaces = async (): Promise<readonly ApiObject[]> =>
    (await cluster.list('/api/v1/namespaces')).filter(
      ({ metadata }) => namespace === undefined || metadata.name === namespace,
    );
  const isRedirectedByNode = async (): Promise<boolean> =>
    (await installedValues(cluster, controlNamespace)).values.cni.enabled;
  return [
    {
      name: 'tulle-data-plane',
      checks: [
        {
          description: 'data plane namespace exists',
          hint: 'check the name given with --namespace',
          severity: 'fatal',
          run: async () => {
            if (namespace === undefined) return 'skip';
            if ((await cluster.find(`/api/v1/namespaces/${namespace}`)) === undefined)
              throw new Finding(`the namespace "${namespace}" does not exist`);
            return undefined;
          },
        },
        {
          description: 'data plane proxies are ready',
          hint: '`kubectl logs POD -c linkerd-proxy` says what a proxy is waiting for',
          severity: 'error',
          isRetried: true,
          run: async () => {
            const waiting = (await meshed()).filter((pod) => !isFinished(pod) && !isProxyReady(pod));
            if (waiting.length === 0) return;
            const reasons = await Promise.all(waiting.slice(0, MAX_NAMED).map((pod) => unreadiness(cluster, pod)));
            const known = reasons.filter((reason) => reason !== undefined);
            throw new Finding([`not ready: ${names(waiting)}`, ...known].join('\n'));
          },
        },
        {
          description: 'pods that want a proxy have one',
          hint: '`kubectl rollout restart` their workloads; create pods without a workload again. Pods that were created while the injector was away are evicted by it, unless repair.enabled is false: events of the workload with reason RepairBlocked say what holds it back',
          severity: 'warning',
          run: async () => {
            const known = knownNamespaces(await namespaces());
            const isByNode = await isRedirectedByNode();
            const missing = (await pods()).flatMap((object) => {
              const pod = LIVE_PODS.parse(object);
              const namespace = known.of(pod?.namespace ?? '');
              if (pod === undefined || !isUnmeshed(pod, namespace, isByNode)) return [];
              const obstacle = repairObstacle(pod, namespace) ?? 'the injector evicts it';
              return [`${pod.namespace}/${pod.name} has no proxy: ${obstacle}`];
            });
            report(missing);
          },
        },
        {
          description: 'pods that want a proxy can have one',
          hint: 'change what is named and restart the workload, or set linkerd.io/inject: disabled to say that it shall have none',
          severity: 'warning',
          run: async () => {
            const known = knownNamespaces(await namespaces());
            const isByNode = await isRedirectedByNode();
            const refused = (await pods()).flatMap((object) => {
              const { name, namespace = '' } = object.metadata;
              const decision = isFinished(object) ? undefined : decide(parsePod(object), known.of(namespace), isByNode);
              return decision?.kind === 'skip' && OBSTACLES.has(decision.reason)
                ? [`${namespace}/${name} has no proxy: ${decision.message}`]
                : [];
            });
            report(refused);
          },
        },
        {
          description: 'values of linkerd.io/inject can be understood',
          hint: 'correct the annotation and restart the workload; until then its pods get no proxy',
          severity: 'warning',
          run: async () => {
            const found = [
              ...(await namespaces()).map((object) => [object.metadata.name, object] as const),
              ...(await pods()).map((pod) => [`${pod.metadata.namespace}/${pod.metadata.name}`, pod] as const),
            ].flatMap(([name, { metadata }]) => {
              const value = metadata.annotations?.[INJECT_ANNOTATION];
              return value === undefined || isInjectValue(value)
                ? []
                : [`${name}: ${INJECT_ANNOTATION} is "${value}": use enabled, ingress or disabled`];
            });
            report(found);
          },
        },
        {
          description: 'annotations of namespaces and meshed pods can be understood',
          hint: 'correct the annotation and restart the workloads; until then the default holds',
          severity: 'warning',
          run: async () => {
            const problems = ({ metadata }: ApiObject): readonly string[] =>
              proxySettings(defaultValues(VERSION).proxy, {}, metadata.annotations ?? {}).problems.map(
                ({ message }) => message,
              );
            const ofNamespaces = new Map((await namespaces()).map((one) => [one.metadata.name, problems(one)]));
            const ofPods = (await meshed()).flatMap((pod) => {
              const { name, namespace: place = '' } = pod.metadata;
              // Pods are given the annotations of their namespace: told once is enough.
              const own = problems(pod).filter((message) => ofNamespaces.get(place)?.includes(message) !== true);
              return own.map((message) => `${place}/${name}: ${message}`);
            });
            const found = [
              ...[...ofNamespaces].flatMap(([name, messages]) => messages.map((message) => `${name}: ${message}`)),
              ...ofPods,
            ];
            report(found);
          },
        },
        {
          description: 'pods are redirected to their proxies',
          hint: `the agent of the node does that: \`kubectl -n ${cniNamespace({ namespace: controlNamespace })} get pods -o wide\` and the log of the one on the same node`,
          severity: 'error',
          isRetried: true,
          run: async () => {
            const found = (await meshed()).flatMap((pod) => {
              const { nodeName } = pod['spec'] as { readonly nodeName?: string };
              return waitsForRedirect(pod) ? [`${names([pod])} waits for the agent on node ${nodeName}`] : [];
            });
            if (found.length > 0 && !(await isRedirectedByNode()))
              throw new Finding(
                found.slice(0, MAX_NAMED).join('\n'),
                'there are no agents (cni.enabled is false): restart the workload, with `tulle inject --manual` again where that made it, or `tulle upgrade --linkerd-cni-enabled`',
              );
            report(found);
          },
        },
        {
          description: 'data plane proxies can start',
          hint: '`kubectl describe pod POD` and `kubectl logs POD -c CONTAINER --previous` show more',
          severity: 'error',
          run: async () => {
            const found = (await meshed()).flatMap((pod) => {
              const problem = podProblem(pod, ADDED_CONTAINERS);
              return problem === undefined ? [] : [`${pod.metadata.namespace}/${pod.metadata.name}: ${problem}`];
            });
            if (found.length > 0) throw new Finding(found.slice(0, MAX_NAMED).join('\n'));
          },
        },
        ...proxyAnchorChecks(cluster, controlNamespace, async () => (await meshed()).filter((pod) => !isFinished(pod))),
        {
          description: `data plane proxies are at most ${SUPPORTED_MINORS} minor versions older`,
          hint: 'they may misunderstand the control plane: `kubectl rollout restart` their workloads now',
          severity: 'error',
          run: async () => {
            const other = (await meshed()).filter((pod) => !isSupported(proxyVersion(pod)));
            if (other.length > 0)
              throw new Finding(
                other
                  .slice(0, MAX_NAMED)
                  .map((pod) => `${names([pod])} has ${proxyVersion(pod) || 'none'}`)
                  .join(', '),
              );
          },
        },
        {
          description: 'data plane and cli versions match',
          hint: `restart the workloads to get the proxy of the control plane; older ones keep working for ${SUPPORTED_MINORS} minor versions`,
          severity: 'warning',
          run: async () => {
            const other = (await meshed()).filter(
              (pod) => isSupported(proxyVersion(pod)) && proxyVersion(pod) !== VERSION,
            );
            if (other.length > 0) throw new Finding(`another version than ${VERSION}: ${names(other)}`);
          },
        },
        ...misplacedSettingChecks(cluster, namespace, meshed),
        ...configurationChecks(cluster, controlNamespace, namespace),
      ],
    },
  ];
}

type Status = {
  readonly phase?: string;
  readonly initContainerStatuses?: readonly ContainerStatus[];
  readonly containerStatuses?: readonly ContainerStatus[];
};
type ContainerStatus = {
  readonly name: string;
  readonly ready?: boolean;
  readonly state?: { readonly running?: object };
};

function proxyVersion(pod: ApiObject): string {
  return pod.metadata.annotations?.['linkerd.io/proxy-version'] ?? '';
}

/** Skip reasons of pods that were to have a proxy. */
const OBSTACLES: ReadonlySet<string> = new Set([
  'host_network_enabled',
  'unsupported_operating_system',
  'pod_security_forbids_redirect',
  'volume_name_taken',
]);

function isFinished(pod: ApiObject): boolean {
  const { phase } = (pod['status'] ?? {}) as Status;
  return phase === 'Succeeded' || phase === 'Failed';
}

/** What a proxy that runs says of itself. One that does not run is told of elsewhere, with what the kubelet knows. */
async function unreadiness(cluster: Cluster, pod: ApiObject): Promise<string | undefined> {
  const { namespace = '', name } = pod.metadata;
  const port = adminPort(pod);
  if (port === undefined || !isProxyRunning(pod)) return undefined;
  try {
    const { status, body } = await askPod(cluster, { namespace, pod: name, port, path: '/ready' }, READY_ANSWER_MS);
    return status === 200 ? undefined : `${namespace}/${name}: ${body.trim()}`;
  } catch (error) {
    return error instanceof CommandError ? error.message : `${namespace}/${name}: ${reasonOf(error)}`;
  }
}

function waitsForRedirect(pod: ApiObject): boolean {
  const { initContainerStatuses = [] } = (pod['status'] ?? {}) as Status;
  return initContainerStatuses.some(({ name, state }) => name === VALIDATOR_CONTAINER && state?.running !== undefined);
}

function knownNamespaces(objects: readonly ApiObject[]): Namespaces {
  const namespaces = new Namespaces();
  namespaces.reset(objects.flatMap((object) => NAMESPACES.parse(object) ?? []));
  return namespaces;
}

function isProxyReady(pod: ApiObject): boolean {
  return proxyStatus(pod)?.ready === true;
}

function isProxyRunning(pod: ApiObject): boolean {
  return proxyStatus(pod)?.state?.running !== undefined;
}

function proxyStatus(pod: ApiObject): ContainerStatus | undefined {
  const { initContainerStatuses = [], containerStatuses = [] } = (pod['status'] ?? {}) as Status;
  return [...initContainerStatuses, ...containerStatuses].find(({ name }) => name === PROXY_CONTAINER);
}

function names(pods: readonly ApiObject[]): string {
  const list = pods.slice(0, MAX_NAMED).map((pod) => `${pod.metadata.namespace}/${pod.metadata.name}`);
  return pods.length > MAX_NAMED ? `${list.join(', ')} and ${pods.length - MAX_NAMED} more` : list.join(', ');
}
