import { distributed } from '#model/evaluate.ts';
import { inboundGrants, type InboundServer } from '#model/inbound.ts';
import type { OutboundPolicy } from '#model/outbound.ts';
import type { ProfileRoute } from '#model/profile-route.ts';
import { formatResourceRef } from '#model/resource-ref.ts';
import { formatTable } from '../table.ts';
import { describeRoute } from './access-tables.ts';
import {
  describeClients,
  describeCondition,
  describeDecider,
  describeGrpcMatch,
  describeHosts,
  describeHttpMatch,
  describeRateLimit,
  describeRetry,
  describeSession,
  describeShares,
  describeTimeouts,
} from './describe.ts';

/** How a port is served, and whom its policy lets in. */
export function inboundTables(server: InboundServer): string {
  const { ref, protocol } = server;
  const grants = inboundGrants(server);
  const rows = grants.map(({ route, authorization: one }) => [
    describeRoute(route),
    one === undefined ? '-' : formatResourceRef(one.ref),
    one === undefined ? 'nobody' : describeClients(one),
  ]);
  const limit = 'rateLimit' in protocol ? protocol.rateLimit : undefined;
  return [
    `Server:    ${formatResourceRef(ref)}\n`,
    `Protocol:  ${protocol.kind}\n`,
    ...(limit === undefined
      ? []
      : [`Limit:     ${describeRateLimit(limit)} per second (${formatResourceRef(limit.ref)})\n`]),
    '\n',
    grants.every(({ authorization }) => authorization === undefined)
      ? 'No authorizations: nobody gets in.\n'
      : formatTable([{ title: 'ROUTE' }, { title: 'AUTHORIZATION' }, { title: 'CLIENTS' }], rows),
  ].join('');
}

/** Routes of a profile, after an empty line; nothing when there are none. */
export function profileRoutesTable(routes: readonly ProfileRoute[]): string {
  if (routes.length === 0) return '';
  const titles = ['ROUTE', 'CONDITION', 'TIMEOUT', 'RETRYABLE'].map((title) => ({ title }));
  const rows = routes.map(({ labels, condition, timeoutMs, isRetryable }) => [
    labels['route'] ?? '',
    describeCondition(condition),
    timeoutMs === undefined ? '-' : `${timeoutMs}ms`,
    String(isRetryable),
  ]);
  return `\n${formatTable(titles, rows)}`;
}

/** Where connections and requests for a Service go. */
export function outboundTables({ ref, protocol }: OutboundPolicy): string {
  const titles = ['ROUTE', 'HOSTS', 'MATCHES', 'FILTERS', 'BACKENDS', 'TIMEOUTS', 'RETRIES', 'SESSION'].map(
    (title) => ({
      title,
    }),
  );
  return `Target:    ${formatResourceRef(ref)}\nProtocol:  ${protocol.kind}\n\n${formatTable(titles, outboundRows(protocol))}`;
}

function outboundRows(protocol: OutboundPolicy['protocol']): readonly (readonly string[])[] {
  const filtersOf = (filters: readonly { readonly kind: string }[]): string =>
    filters.map(({ kind }) => kind).join(' ') || '-';
  const bytes = 'opaque' in protocol ? [protocol.opaque] : [];
  const ofBytes = bytes.map(({ ref, filters, distribution }) => [
    formatResourceRef(ref),
    '*',
    'bytes',
    filtersOf(filters),
    describeShares(distributed(distribution)),
    '-',
    '-',
    '-',
  ]);
  if (!('routes' in protocol)) return ofBytes;
  if (protocol.kind === 'tls') {
    return protocol.routes.map(({ ref, serverNames, filters, distribution }) => [
      formatResourceRef(ref),
      describeHosts(serverNames),
      'bytes',
      filtersOf(filters),
      describeShares(distributed(distribution)),
      '-',
      '-',
      '-',
    ]);
  }
  const ofRoutes =
    protocol.kind === 'grpc'
      ? protocol.routes.flatMap(({ ref, hosts, rules }) =>
          rules.map((rule) => ({ ref, hosts, rule, matches: rule.matches.map(describeGrpcMatch) })),
        )
      : protocol.routes.flatMap(({ ref, hosts, rules }) =>
          rules.map((rule) => ({ ref, hosts, rule, matches: rule.matches.map(describeHttpMatch) })),
        );
  return [
    ...ofRoutes.map(({ ref, hosts, rule, matches }) => [
      describeDecider({ ref, ...(rule.index !== undefined && { rule: rule.index }) }),
      describeHosts(hosts),
      matches.join(' or ') || 'any',
      filtersOf(rule.filters),
      describeShares(distributed(rule.distribution)),
      describeTimeouts(rule.timeouts),
      describeRetry(rule.retry),
      describeSession(rule.session),
    ]),
    ...ofBytes,
  ];
}
