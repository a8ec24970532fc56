import { connect } from '../../cli/cluster.ts';
import { CLUSTER_FLAGS, optionalText, textFlag, UsageError, type Command } from '../../cli/command.ts';
import { formatTable, type Column } from '../../cli/table.ts';
import { kindWords, SERVICE_KIND, WORKLOAD_KINDS } from '../../cli/workloads.ts';
import type { Golden } from '../metrics-api/golden.ts';
import type { RouteRow } from '../metrics-api/routes.ts';
import type { RoutesAnswer } from '../metrics-api/server.ts';
import { askMetricsApi, namespaceOf, OUTPUT_FLAG, VIZ_FLAGS, windowMsOf } from './client.ts';
import { latencyCells, latencyFields, orDash, percent, rate } from './cells.ts';
import { PEER_FLAGS, peerQuery, readTarget, refuseUnknown } from './target.ts';

export const vizRoutes: Command = {
  path: ['viz', 'routes'],
  args: 'TYPE[/NAME]',
  words: kindWords([...WORKLOAD_KINDS, SERVICE_KIND]).plain,
  summary: 'Show success rate, requests and latency of each route of a Service.',
  details: [
    'Routes are those of ServiceProfiles, HTTPRoutes and GRPCRoutes; [DEFAULT] is what none of them took.',
    'For a Service they are its own, for a workload those of the Services in front of it; with --to those of the',
    'Services there, as the workload uses them; with --from as those workloads use them.',
    'Wide tells what the clients saw (EFFECTIVE) from every attempt (ACTUAL): they differ when requests are retried.',
  ].join('\n'),
  flags: { ...CLUSTER_FLAGS, ...VIZ_FLAGS, ...PEER_FLAGS, output: OUTPUT_FLAG },
  examples: [
    'tulle viz routes svc/cart -n shop',
    'tulle viz routes deploy/web -n shop --to svc/cart -o wide',
    'tulle viz routes svc -n shop --from deploy/web',
    'tulle viz routes svc -A -o json',
  ],
  run: async ({ flags, args, terminal }) => {
    const { kind, name } = readTarget(args, 'tulle viz routes svc/cart', [...WORKLOAD_KINDS, SERVICE_KIND]);
    if (name !== undefined && flags['all-namespaces'] === true)
      throw new UsageError(`--all-namespaces cannot be used with a name (${name})`);
    const windowMs = windowMsOf(flags);
    const cluster = await connect(flags);
    try {
      const namespace = kind.isNamespaced ? namespaceOf(flags, cluster) : undefined;
      const peer = peerQuery(flags, kind, namespace);
      const answer = await askMetricsApi<RoutesAnswer>(cluster, flags, '/api/routes', {
        kind: kind.name,
        namespace,
        name,
        windowMs: String(windowMs),
        ...peer,
      });
      if (answer.rows.length === 0) await refuseUnknown(cluster, { kind, name }, namespace, peer);
      for (const note of answer.notes) terminal.err(`tulle: ${note}\n`);
      const format = textFlag(flags, 'output');
      if (format === 'json') {
        terminal.out(`${JSON.stringify(answer.rows.map(jsonRoute), null, 2)}\n`);
      } else if (answer.rows.length === 0) {
        const what = `${kind.name}${name === undefined ? '' : ` "${name}"`}${namespace === undefined ? '' : ` in namespace ${namespace}`}`;
        const window = textFlag(flags, 'time-window');
        terminal.err(`No routes found: ${emptyReason(what, answer, window, optionalText(flags, 'to'))}\n`);
      } else {
        terminal.out(routesTable(answer.rows, format === 'wide'));
      }
      return 0;
    } finally {
      cluster.close();
    }
  },
};

/** An empty view says why it is empty. */
function emptyReason(what: string, answer: RoutesAnswer, window: string, to: string | undefined): string {
  if (answer.inFront === 0)
    return what.startsWith(SERVICE_KIND.name)
      ? `there is no ${what}.`
      : `no Service selects pods of ${to ?? what}: routes are those of Services.`;
  if (answer.clients === 0) return 'no client has a proxy, and routes are counted by the proxies of the clients.';
  return `no meshed client sent an HTTP request to ${to ?? what} within ${window}.`;
}

/** The table of `linkerd viz routes`; wide tells attempts from what clients saw. */
export function routesTable(rows: readonly RouteRow[], isWide: boolean): string {
  const right = (title: string): Column => ({ title, align: 'right' });
  const hasNamespace = new Set(rows.map(({ namespace }) => namespace)).size > 1;
  const rates = isWide ? ['EFFECTIVE_SUCCESS', 'EFFECTIVE_RPS', 'ACTUAL_SUCCESS', 'ACTUAL_RPS'] : ['SUCCESS', 'RPS'];
  const columns: Column[] = [
    { title: 'ROUTE' },
    ...(isWide ? [{ title: 'KIND' }] : []),
    right('SERVICE'),
    ...rates.map(right),
    right('LATENCY_P50'),
    right('LATENCY_P95'),
    right('LATENCY_P99'),
  ];
  const ratesOf = ({ successRate, requestsPerSecond }: Golden): string[] => [
    orDash(successRate, percent),
    orDash(requestsPerSecond, rate),
  ];
  return formatTable(
    columns,
    rows.map(({ route, kind, namespace, service, effective, actual }) => [
      route,
      ...(isWide ? [kind] : []),
      hasNamespace ? `${namespace}/${service}` : service,
      ...ratesOf(effective),
      ...(isWide ? ratesOf(actual) : []),
      ...latencyCells(effective),
    ]),
  );
}

/** Keys of `linkerd viz routes -o json`, and what Linkerd does not tell. */
function jsonRoute({
  route,
  kind,
  namespace,
  service,
  effective,
  actual,
  backends,
}: RouteRow): Record<string, unknown> {
  return {
    route,
    kind,
    namespace,
    authority: service,
    effective_success: effective.successRate ?? null,
    effective_rps: effective.requestsPerSecond ?? null,
    effective_responses: effective.responses ?? 0,
    actual_success: actual.successRate ?? null,
    actual_rps: actual.requestsPerSecond ?? null,
    actual_responses: actual.responses ?? 0,
    ...latencyFields(effective),
    backends: backends.map(({ name, successRate, requestsPerSecond, responses }) => ({
      name,
      success: successRate ?? null,
      rps: requestsPerSecond ?? null,
      responses: responses ?? 0,
    })),
  };
}
