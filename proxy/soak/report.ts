import { KINDS, type Clients, type Failed } from './clients.ts';
import { excuseOf, FAULTS, STARVED, type Fault } from './faults.ts';
import { growthOf } from './growth.ts';
import { gauge, type Mesh } from './mesh.ts';

/** What came of many requests at once: how many there were, and how many each proxy counted. */
export type Burst = {
  readonly requests: number;
  readonly succeeded: number;
  readonly counted: readonly [outbound: number, inbound: number];
};

export type Run = {
  readonly minutes: number;
  readonly mesh: Mesh;
  readonly clients: Clients;
  readonly faults: readonly Fault[];
  readonly burst?: Burst;
};

const SHOWN_MAX = 20;
/** Leaves live a minute and are renewed at 70 % of that. */
const RENEWALS_PER_MINUTE = 1;
/** A kept connection to a proxy's peer for each endpoint and kind, and those of discovery and the admin endpoint. */
const DESCRIPTORS_QUIET_MAX = 100;

/** @returns what is wrong, in words; empty when all is well */
export function judge(run: Run): readonly string[] {
  return [...(run.minutes > 0 ? judgeSoak(run) : []), ...judgeGrowth(run), ...judgeBurst(run)];
}

function judgeSoak({ minutes, mesh, clients, faults }: Run): readonly string[] {
  const problems: string[] = [];
  const expect = (isGood: boolean, text: string): void => {
    if (!isGood) problems.push(text);
  };
  const unexplained = clients.failed.filter((one) => excuseOf(one.failure, one, faults) === undefined);
  expect(unexplained.length === 0, `${unexplained.length} failures that no fault explains`);
  problems.push(...unexplained.slice(0, SHOWN_MAX).map((one) => describe(one, faults)));
  expect(mesh.seen.twice.length === 0, `${mesh.seen.twice.length} requests were executed twice, though not retried`);

  const [out, inbound] = mesh.proxies;
  const { least, most } = clients.requests;
  const finished =
    out.counters.sum('outbound_http_route_request_statuses_total') +
    out.counters.sum('outbound_grpc_route_request_statuses_total');
  expect(
    finished >= least && finished <= most,
    `clients sent ${most} requests and have ${least} answers, the proxy counted ${finished}`,
  );
  for (const { side, counters } of mesh.proxies) {
    const requests = counters.sum('request_total');
    const responses = counters.sum('response_total');
    expect(requests === responses, `${side}: request_total is ${requests}, response_total ${responses}`);
  }
  const attempts = out.counters.sum('request_total');
  const arrived = inbound.counters.sum('request_total');
  const lost = attempts - arrived;
  const cuts = clients.failed.length + totalRetries(mesh) + aborted(clients);
  expect(lost >= 0 && lost <= cuts, `the outbound proxy counted ${attempts} attempts, the inbound one ${arrived}`);
  const executed = mesh.seen.requests;
  expect(
    executed <= arrived && arrived - executed <= cuts,
    `the inbound proxy counted ${arrived} requests, the applications ${executed}`,
  );
  for (const proxy of mesh.proxies) {
    const { side, counters } = proxy;
    const open = gauge(proxy, 'tcp_open_connections');
    const balance = counters.sum('tcp_open_total') - counters.sum('tcp_close_total');
    expect(open === balance, `${side}: ${open} connections are open, opened less closed is ${balance}`);
    const renewals = gauge(proxy, 'control_identity_cert_refreshes_total');
    expect(renewals >= Math.floor(minutes * RENEWALS_PER_MINUTE), `${side}: only ${renewals} certificates`);
    const descriptors = gauge(proxy, 'process_open_fds');
    expect(descriptors <= DESCRIPTORS_QUIET_MAX, `${side}: ${descriptors} descriptors are open when all is quiet`);
  }
  const fromClients = gauge(out, 'tcp_open_connections', { peer: 'src', direction: 'outbound' });
  expect(fromClients === 0, `${fromClients} connections of clients are open that the clients have closed`);
  return problems;
}

function judgeGrowth({ mesh }: Run): readonly string[] {
  return mesh.proxies.flatMap(({ side, holdings }) =>
    growthOf(holdings)
      .filter(({ isBeyond }) => isBeyond)
      .map(({ what, first, last }) => `${side}: ${what} grew from ${first.toFixed(1)} to ${last.toFixed(1)}`),
  );
}

function judgeBurst({ burst }: Run): readonly string[] {
  if (burst === undefined) return [];
  const { requests, succeeded, counted } = burst;
  return succeeded === requests && counted.every((count) => count === requests)
    ? []
    : [`of ${requests} requests ${succeeded} succeeded, the proxies counted ${counted.join(' and ')}`];
}

/** Figures for people. */
export function report(run: Run & { readonly seed: number }, problems: readonly string[]): string {
  const { minutes, seed, mesh, clients, faults, burst } = run;
  const lines = [`soak of ${minutes} minutes, --seed ${seed}`];
  for (const kind of minutes > 0 ? KINDS : []) {
    const { sent, succeeded, aborted, skipped } = clients.counts[kind];
    const failed = clients.failed.filter((one) => one.kind === kind).length;
    lines.push(
      `  ${kind.padEnd(10)} ${sent} sent, ${succeeded} good, ${aborted} given up by the client, ${failed} failed, ${skipped} not begun`,
    );
  }
  for (const kind of minutes > 0 ? [...FAULTS, STARVED] : []) {
    const explained = clients.failed.filter((one) => excuseOf(one.failure, one, faults) === kind);
    const times = faults.filter((fault) => fault.kind === kind).length;
    lines.push(`  ${kind.padEnd(16)} ${times} times, explains ${explained.length}${histogram(explained)}`);
  }
  for (const proxy of mesh.proxies) {
    const { side, holdings, counters } = proxy;
    const figures = growthOf(holdings).map(
      ({ what, first, last }) => `${what} ${first.toFixed(1)} to ${last.toFixed(1)}`,
    );
    lines.push(`  ${side.padEnd(3)} first to last third: ${figures.join(', ')}`);
    lines.push(
      `      request_total ${counters.sum('request_total')}, response_total ${counters.sum('response_total')}, certificates ${gauge(proxy, 'control_identity_cert_refreshes_total')}`,
    );
  }
  if (minutes > 0) {
    const { least, most } = clients.requests;
    lines.push(
      `  requests: ${most} sent, ${least} answered, ${totalRetries(mesh)} retries, ${mesh.seen.requests} executed`,
    );
  }
  if (burst !== undefined)
    lines.push(
      `  at once: ${burst.requests} requests, ${burst.succeeded} good, counted ${burst.counted.join(' and ')}`,
    );
  lines.push(...problems.map((problem) => `  WRONG: ${problem}`), problems.length === 0 ? 'all is well' : 'not well');
  return `${lines.join('\n')}\n`;
}

function describe({ kind, failure, detail, startMs, endMs }: Failed, faults: readonly Fault[]): string {
  const near = faults.findLast(({ fromMs }) => fromMs <= endMs);
  const when =
    near === undefined ? 'before any fault' : `${((endMs - near.untilMs) / 1000).toFixed(2)} s after ${near.kind} did`;
  const meanwhile = faults
    .filter(({ fromMs, untilMs }) => fromMs <= endMs && untilMs >= startMs)
    .map((one) => one.kind);
  const seconds = ((endMs - startMs) / 1000).toFixed(2);
  return `${kind}: ${failure} (${detail}), ${seconds} s long, ended ${when}; meanwhile: ${meanwhile.join(', ')}`;
}

function histogram(failed: readonly Failed[]): string {
  if (failed.length === 0) return '';
  const counts = [...Map.groupBy(failed, ({ kind, failure }) => `${kind} ${failure}`)];
  return ` (${counts.map(([what, some]) => `${what} ${some.length}`).join(', ')})`;
}

function totalRetries({ proxies: [out] }: Mesh): number {
  return (
    out.counters.sum('outbound_http_route_retry_requests_total') +
    out.counters.sum('outbound_grpc_route_retry_requests_total')
  );
}

function aborted({ counts }: Clients): number {
  return Object.values(counts).reduce((sum, one) => sum + one.aborted, 0);
}
