import { fetchThrough } from '../../cli/pod-http.ts';
import type { Cluster } from '../../cli/cluster.ts';
import { CommandError, UsageError, type Flags, type FlagValues, optionalText, textFlag } from '../../cli/command.ts';
import { parseDurationMs } from '#runtime/duration.ts';
import { METRICS_API_PORT } from '../config.ts';

/** Flags that the viz commands share. */
export const VIZ_FLAGS = {
  namespace: {
    type: 'string',
    short: 'n',
    value: 'NS',
    isName: true,
    help: 'namespace (default: that of the kubeconfig context)',
  },
  'all-namespaces': { type: 'boolean', short: 'A', help: 'all namespaces' },
  'time-window': {
    type: 'string',
    short: 't',
    value: 'DURATION',
    default: '1m',
    help: 'how far back to look, 15s to 10m',
  },
  'viz-namespace': {
    type: 'string',
    value: 'NS',
    isName: true,
    help: 'namespace of the extension (default: found by its label)',
  },
} as const satisfies Flags;

/** What the metrics API keeps. */
const WINDOW_MS_MIN = 15_000;
const WINDOW_MS_MAX = 600_000;

/** The form of what a viz command shows. */
export const OUTPUT_FLAG = {
  type: 'string',
  short: 'o',
  value: 'FORMAT',
  default: 'table',
  choices: ['table', 'wide', 'json'],
  help: 'form of the result',
} as const satisfies Flags[string];

/** Namespace of a query, or undefined for all. */
export function namespaceOf(flags: FlagValues, cluster: Cluster): string | undefined {
  if (flags['all-namespaces'] !== true) return optionalText(flags, 'namespace') ?? cluster.defaultNamespace;
  if (optionalText(flags, 'namespace') !== undefined)
    throw new UsageError('--namespace and --all-namespaces exclude each other');
  return undefined;
}

/** @throws UsageError  naming the flag */
export function windowMsOf(flags: FlagValues): number {
  const text = textFlag(flags, 'time-window');
  let windowMs: number;
  try {
    windowMs = parseDurationMs(text);
  } catch (error) {
    throw new UsageError(`--time-window: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (windowMs < WINDOW_MS_MIN || windowMs > WINDOW_MS_MAX)
    throw new UsageError(`--time-window is ${text}: use 15s to 10m`);
  return windowMs;
}

/**
 * Asks the metrics API through a port-forward.
 *
 * @throws CommandError  when the extension is not installed, not ready, or refuses the query
 */
export async function askMetricsApi<T>(
  cluster: Cluster,
  flags: FlagValues,
  path: string,
  query: Readonly<Record<string, string | undefined>>,
): Promise<T> {
  const { namespace, pod } = await metricsApiPod(cluster, flags);
  const parameters = new URLSearchParams(
    Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
  return JSON.parse(
    await fetchThrough(cluster, namespace, pod, METRICS_API_PORT, `${path}?${parameters.toString()}`),
  ) as T;
}

/** @throws CommandError  when the extension is not installed or not ready */
export async function metricsApiPod(
  cluster: Cluster,
  flags: FlagValues,
): Promise<{ readonly namespace: string; readonly pod: string }> {
  const namespace = optionalText(flags, 'viz-namespace') ?? (await vizNamespace(cluster));
  const pods = await cluster.list(
    `/api/v1/namespaces/${namespace}/pods?labelSelector=${encodeURIComponent('linkerd.io/extension-component=metrics-api')}`,
  );
  const ready = pods.find((pod) => isReady(pod['status']) && pod.metadata.deletionTimestamp === undefined);
  if (ready === undefined)
    throw new CommandError(
      `no metrics-api pod in namespace ${namespace} is ready: \`kubectl -n ${namespace} get pods\``,
    );
  return { namespace, pod: ready.metadata.name };
}

async function vizNamespace(cluster: Cluster): Promise<string> {
  const [namespace] = await cluster.list(
    `/api/v1/namespaces?labelSelector=${encodeURIComponent('linkerd.io/extension=viz')}`,
  );
  if (namespace === undefined)
    throw new CommandError('the viz extension is not installed: `tulle viz install | kubectl apply -f -`');
  return namespace.metadata.name;
}

function isReady(status: unknown): boolean {
  const { conditions = [] } = (status ?? {}) as { conditions?: { type: string; status: string }[] };
  return conditions.some(({ type, status: value }) => type === 'Ready' && value === 'True');
}
