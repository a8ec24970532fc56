import { fastify, type FastifyInstance } from 'fastify';
import { edges, type Edge } from './edges.ts';
import type { Pod } from './pods.ts';
import type { ScrapeFailures } from './scraper.ts';
import { parseSelector, SelectorError, type Selector } from './selector.ts';
import { stat, type Peer, type ServiceEntry, type StatQuery, type StatRow } from './stat.ts';
import type { MetricsStore } from './store.ts';

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

const MIN_WINDOW_MS = 15_000;
const MAX_NAME_LENGTH = 253;

export type StatAnswer = { readonly rows: readonly StatRow[]; readonly notes: readonly string[] };
export type EdgesAnswer = { readonly edges: readonly Edge[]; readonly notes: readonly string[] };

export type MetricsApi = {
  readonly pods: () => readonly Pod[];
  readonly services: () => readonly ServiceEntry[];
  readonly store: MetricsStore;
  readonly failures: () => ScrapeFailures;
  readonly maxWindowMs: number;
  readonly now: () => number;
  readonly identityOf: (pod: Pod) => string;
};

/** A query that cannot be answered; the message says which parameter is wrong and what would be right. */
class QueryError extends Error {
  readonly statusCode = 400;
}

/** `GET /api/stat` and `GET /api/edges`, answered from memory. */
export function createServer(api: MetricsApi): FastifyInstance {
  const server = fastify({
    logger: false,
    bodyLimit: 1024,
    requestTimeout: 10_000,
    routerOptions: { maxParamLength: 256 },
  });
  server.get('/api/stat', (request): StatAnswer => {
    const query = readStatQuery(request.query, api.maxWindowMs);
    return { rows: stat(query, api.pods(), api.store, api.now(), api.services()), notes: notes(api) };
  });
  server.get('/api/edges', (request): EdgesAnswer => {
    const query = readQuery(request.query, api.maxWindowMs, KINDS);
    return { edges: edges(query, api.pods(), api.store, api.now(), api.identityOf), notes: notes(api) };
  });
  return server;
}

/** What makes a view incomplete, in words for a person. */
function notes(api: MetricsApi): readonly string[] {
  const failing = [...api.failures()];
  const [first] = failing;
  return [
    ...(first === undefined
      ? []
      : [`${failing.length} proxies cannot be scraped, for example ${first[0]}: ${first[1]}`]),
    ...(api.store.droppedCount === 0
      ? []
      : [`some series are left out: the store is full with ${api.store.seriesCount} series`]),
  ];
}

function readStatQuery(raw: unknown, maxWindowMs: number): StatQuery {
  const query = raw as Readonly<Record<string, unknown>>;
  const base = readQuery(raw, maxWindowMs, STAT_KINDS);
  const to = readPeer(query, 'to', STAT_KINDS);
  const from = readPeer(query, 'from', KINDS);
  if (to !== undefined && from !== undefined) throw new QueryError('to and from exclude each other');
  if (to !== undefined && base.kind === 'service')
    throw new QueryError('a service sends nothing itself: use to with a workload, or from with the service');
  const selector = readSelector(query);
  return {
    ...base,
    ...(to === undefined ? {} : { to }),
    ...(from === undefined ? {} : { from }),
    ...(selector === undefined ? {} : { selector }),
  };
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

function readQuery(
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
