import { evaluateInbound, type InboundVerdict } from '#model/evaluate.ts';
import type { Client } from '#model/authorization.ts';
import { inboundGrants, type InboundServer } from '#model/inbound.ts';
import type { RequestHead } from '#model/match.ts';
import type { RateLimit } from '#model/rate-limit.ts';
import { formatResourceRef, type ResourceRef } from '#model/resource-ref.ts';
import { formatTable } from '../table.ts';
import { describeClientLimits, describeClients, describeDecider, describeRateLimit } from './describe.ts';

/** What the control plane says about a port of a pod. @property notEnforced  why nobody does what it says */
export type PortPolicy = { readonly port: number; readonly server: InboundServer; readonly notEnforced?: string };

/** Some clients who may talk to a port. */
export type AccessRow = {
  readonly port: number;
  readonly isEnforced: boolean;
  readonly route: string; // `*`: any request or connection
  readonly server: string;
  readonly authorizationPolicy: string;
  readonly serverAuthorization: string;
  readonly clients: string;
  readonly rateLimit?: RateLimit; // of the port
};

/** What happens to one client at a port. */
export type PortVerdict = {
  readonly port: number;
  readonly isEnforced: boolean;
  readonly verdict: Omit<InboundVerdict, 'decider'> & Partial<Pick<InboundVerdict, 'decider'>>;
};

/** Who may talk to a port, by what lets them in: everybody where nothing is enforced. */
export function accessRows({ port, server, notEnforced }: PortPolicy): readonly AccessRow[] {
  const rateLimit = limitOf(server);
  const common = { port, isEnforced: notEnforced === undefined, server: shortName(server.ref) };
  const nothing = { authorizationPolicy: '', serverAuthorization: '' };
  if (notEnforced !== undefined) return [{ ...common, ...nothing, route: '*', clients: `everybody: ${notEnforced}` }];
  return inboundGrants(server).map(({ route, authorization }) => {
    const row = { ...common, ...nothing, route: describeRoute(route), ...(rateLimit && { rateLimit }) };
    if (authorization === undefined) return { ...row, clients: 'nobody' };
    const { ref } = authorization;
    const isOlder = ref.type === 'resource' && ref.kind.toLowerCase() === 'serverauthorization';
    const field = isOlder ? 'serverAuthorization' : 'authorizationPolicy';
    return { ...row, [field]: shortName(ref), clients: describeClients(authorization) };
  });
}

/** `none`: requests that match no route of the Server. */
export function describeRoute(route: ResourceRef | 'any' | 'none'): string {
  if (typeof route !== 'string') return formatResourceRef(route);
  return route === 'any' ? '*' : 'none';
}

/**
 * The rows as a table, which begins with the columns of Linkerd's.
 *
 * @param suffix  of identities in this installation, which is left out; empty: they are printed whole
 */
export function accessTable(access: readonly AccessRow[], suffix: string): string {
  const titles = ['ROUTE', 'SERVER', 'AUTHORIZATION_POLICY', 'SERVER_AUTHORIZATION', 'PORT', 'CLIENTS'];
  const rows = access.map(({ port, route, server, authorizationPolicy, serverAuthorization, clients }) => [
    route,
    server,
    authorizationPolicy,
    serverAuthorization,
    String(port),
    suffix === '' ? clients : clients.replaceAll(`.${suffix}`, ''),
  ]);
  return rows.length === 0
    ? 'The pods have no container ports, and no Server names one.\n'
    : formatTable(
        titles.map((title) => ({ title })),
        rows,
      );
}

/** How much those who are let in may ask for, after an empty line; nothing where nothing limits it. */
export function limitTable(policies: readonly PortPolicy[]): string {
  const rows = policies.flatMap(({ port, server, notEnforced }) => {
    const limit = limitOf(server);
    return limit === undefined || notEnforced !== undefined
      ? []
      : [[String(port), formatResourceRef(limit.ref), describeRateLimit(limit)]];
  });
  const titles = ['PORT', 'RATE_LIMIT_POLICY', 'REQUESTS_PER_SECOND'].map((title) => ({ title }));
  return rows.length === 0 ? '' : `\n${formatTable(titles, rows)}`;
}

/** What happens to a client who makes a request, or opens a connection where no requests are seen. */
export function verdictOf(
  { port, server, notEnforced }: PortPolicy,
  client: Client,
  request: RequestHead,
): PortVerdict {
  if (notEnforced !== undefined) {
    const reason = `nothing is enforced: ${notEnforced}`;
    return { port, isEnforced: false, verdict: { isAllowed: true, isAudited: false, reason } };
  }
  const verdict = evaluateInbound(server, client, 'routes' in server.protocol ? request : undefined);
  return { port, isEnforced: true, verdict };
}

/** The verdicts as a table. */
export function verdictTable(verdicts: readonly PortVerdict[]): string {
  const isLimited = verdicts.some(({ verdict }) => verdict.rateLimit !== undefined);
  const rows = verdicts.map(({ port, verdict }) => [
    String(port),
    verdict.isAllowed ? (verdict.isAudited ? 'allowed, audited' : 'allowed') : 'denied',
    verdict.decider === undefined ? '-' : describeDecider(verdict.decider),
    ...(isLimited ? [describeClientLimits(verdict.rateLimit)] : []),
    verdict.reason,
  ]);
  const titles = ['PORT', 'VERDICT', 'DECIDED BY', ...(isLimited ? ['REQUESTS PER SECOND'] : []), 'REASON'];
  return formatTable(
    titles.map((title) => ({ title })),
    rows,
  );
}

function limitOf({ protocol }: InboundServer): RateLimit | undefined {
  return 'rateLimit' in protocol ? protocol.rateLimit : undefined;
}

function shortName(ref: ResourceRef): string {
  return ref.type === 'default' ? `default:${ref.name}` : ref.name;
}
