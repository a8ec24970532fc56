import { fastify, type FastifyInstance } from 'fastify';
import { edges, type Edge } from './edges.ts';
import { assertTrustedHost } from './host.ts';
import { overview, type Overview } from './overview.ts';
import type { Pod } from './pods.ts';
import { ALL, ALL_KINDS, KINDS, readQuery, readRoutesQuery, readStatQuery } from './query.ts';
import { routes, type RoutesResult } from './routes.ts';
import type { ScrapeFailures } from './scraper.ts';
import { stat, type ServiceEntry, type StatRow } from './stat.ts';
import type { MetricsStore } from './store.ts';

export type StatAnswer = { readonly rows: readonly StatRow[]; readonly notes: readonly string[] };
export type EdgesAnswer = { readonly edges: readonly Edge[]; readonly notes: readonly string[] };
export type RoutesAnswer = RoutesResult & { readonly notes: readonly string[] };
export type OverviewAnswer = Overview & { readonly notes: readonly string[] };

export type MetricsApi = {
  readonly pods: () => readonly Pod[];
  readonly services: () => readonly ServiceEntry[];
  readonly store: MetricsStore;
  readonly failures: () => ScrapeFailures;
  readonly maxWindowMs: number;
  readonly now: () => number;
  readonly identityOf: (pod: Pod) => string;
  /** Names under which this process is called inside the cluster. */
  readonly hostNames: readonly string[];
};

/** `GET /api/stat`, `/api/edges`, `/api/routes` and `/api/overview`, answered from memory. */
export function createServer(api: MetricsApi): FastifyInstance {
  const server = fastify({
    logger: false,
    bodyLimit: 1024,
    requestTimeout: 10_000,
    routerOptions: { maxParamLength: 256 },
  });
  server.addHook('onRequest', async ({ headers }) => assertTrustedHost(headers.host, api.hostNames));
  server.get('/api/stat', (request): StatAnswer => {
    const query = readStatQuery(request.query, api.maxWindowMs);
    const kinds =
      query.kind === ALL ? ALL_KINDS.filter((kind) => query.to === undefined || kind !== 'service') : [query.kind];
    const [pods, services, nowMs] = [api.pods(), api.services(), api.now()];
    return {
      rows: kinds.flatMap((kind) => stat({ ...query, kind }, pods, api.store, nowMs, services)),
      notes: notes(api),
    };
  });
  server.get('/api/edges', (request): EdgesAnswer => {
    const query = readQuery(request.query, api.maxWindowMs, KINDS);
    return { edges: edges(query, api.pods(), api.store, api.now(), api.identityOf), notes: notes(api) };
  });
  server.get('/api/routes', (request): RoutesAnswer => {
    const query = readRoutesQuery(request.query, api.maxWindowMs);
    return { ...routes(query, api.pods(), api.store, api.now(), api.services()), notes: notes(api) };
  });
  server.get('/api/overview', (request): OverviewAnswer => {
    const query = readQuery(request.query, api.maxWindowMs, KINDS);
    const sources = { pods: api.pods(), services: api.services(), store: api.store, identityOf: api.identityOf };
    return { ...overview(query, sources, api.now()), notes: notes(api) };
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
