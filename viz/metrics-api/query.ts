import type { RoutesQuery } from './routes.ts';
import { parseSelector, SelectorError, type Selector } from './selector.ts';
import type { Peer, StatQuery } from './stat.ts';

/** Kinds that rows can be grouped by. */
export const KINDS = [
  'cronjob',
  'daemonset',
  'deployment',
  'job',
  'namespace',
  'pod',
  'replicaset',
  'replicationcontroller',
  'statefulset',
] as const;
const STAT_KINDS = [...KINDS, 'service'] as const;

export const ALL = 'all';
/** What `all` stands for, in this order. Source: linkerd2 `pkg/k8s/k8s.go`, `All`. */
export const ALL_KINDS = [
  'daemonset',
  'statefulset',
  'job',
  'deployment',
  'replicationcontroller',
  'pod',
  'service',
  'cronjob',
  'replicaset',
] as const;

const MIN_WINDOW_MS = 15_000;
const MAX_NAME_LENGTH = 253;

/** A query that cannot be answered; the message says which parameter is wrong and what would be right. */
export class QueryError extends Error {
  readonly statusCode = 400;
}

/** @throws QueryError */
export function readStatQuery(raw: unknown, maxWindowMs: number): StatQuery {
  const query = raw as Readonly<Record<string, unknown>>;
  const base = readQuery(raw, maxWindowMs, [...STAT_KINDS, ALL]);
  const peers = readPeers(query, base.kind);
  const selector = readSelector(query);
  return {
    ...base,
    ...peers,
    ...(selector === undefined ? {} : { selector }),
  };
}

/** @throws QueryError */
export function readRoutesQuery(raw: unknown, maxWindowMs: number): RoutesQuery {
  const base = readQuery(raw, maxWindowMs, STAT_KINDS);
  return { ...base, ...readPeers(raw as Readonly<Record<string, unknown>>, base.kind) };
}

function readPeers(query: Readonly<Record<string, unknown>>, kind: string): { to?: Peer; from?: Peer } {
  const to = readPeer(query, 'to', STAT_KINDS);
  const from = readPeer(query, 'from', KINDS);
  if (to !== undefined && from !== undefined) throw new QueryError('to and from exclude each other');
  if (to !== undefined && kind === 'service')
    throw new QueryError('a service sends nothing itself: use to with a workload, or from with the service');
  return { ...(to === undefined ? {} : { to }), ...(from === undefined ? {} : { from }) };
}

/** `to=deployment/web` or `to=deployment`, and `toNamespace=shop`, which alone means everything there. */
function readPeer(
  query: Readonly<Record<string, unknown>>,
  side: 'to' | 'from',
  kinds: readonly string[],
): Peer | undefined {
  const target = text(query, side);
  const namespace = text(query, `${side}Namespace`);
  if (target === undefined) return namespace === undefined ? undefined : { kind: 'namespace', name: namespace };
  const [kind = '', name] = target.split('/', 2);
  if (!kinds.includes(kind)) throw new QueryError(`${side} is "${target}": use one of ${kinds.join(', ')}`);
  return {
    kind,
    ...(name === undefined || name === '' ? {} : { name }),
    ...(namespace === undefined ? {} : { namespace }),
  };
}

function readSelector(query: Readonly<Record<string, unknown>>): Selector | undefined {
  const selector = text(query, 'selector');
  if (selector === undefined) return undefined;
  try {
    return parseSelector(selector);
  } catch (error) {
    if (!(error instanceof SelectorError)) throw error;
    throw new QueryError(`selector: ${error.message}`);
  }
}

/**
 * Kind, namespace, name and window.
 *
 * @throws QueryError
 */
export function readQuery(
  raw: unknown,
  maxWindowMs: number,
  kinds: readonly string[],
): { kind: string; namespace?: string; name?: string; windowMs: number } {
  const query = raw as Readonly<Record<string, unknown>>;
  const kind = text(query, 'kind') ?? 'deployment';
  if (!kinds.includes(kind)) throw new QueryError(`kind is "${kind}": use one of ${kinds.join(', ')}`);
  const windowText = text(query, 'windowMs') ?? '60000';
  const windowMs = Number(windowText);
  if (!Number.isInteger(windowMs) || windowMs < MIN_WINDOW_MS || windowMs > maxWindowMs) {
    throw new QueryError(
      `windowMs is ${windowText}: use ${MIN_WINDOW_MS} (15s) to ${maxWindowMs} (${maxWindowMs / 60_000}m)`,
    );
  }
  const namespace = text(query, 'namespace');
  const name = text(query, 'name');
  return { kind, windowMs, ...(namespace === undefined ? {} : { namespace }), ...(name === undefined ? {} : { name }) };
}

function text(query: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = query[name];
  if (value === undefined) return undefined;
  if (typeof value !== 'string' || value.length > MAX_NAME_LENGTH)
    throw new QueryError(`${name} must be given once, with at most ${MAX_NAME_LENGTH} characters`);
  return value;
}
