import assert from 'node:assert/strict';
import { test } from 'node:test';
import { evaluateConnection, evaluateOutbound, targetShares } from '#model/evaluate.ts';
import type { GrpcMatch, HostMatch, HttpMatch } from '#model/match.ts';
import type { OutboundPolicy, OutboundProtocol } from '#model/outbound.ts';
import type { RequestCondition } from '#model/profile-route.ts';
import type { Profile } from '#model/profile.ts';
import type { ResourceRef } from '#model/resource-ref.ts';
import type { SessionPersistence } from '#model/session-persistence.ts';
import { Patterns } from '#runtime/pattern.ts';
import { ProxyError } from '../errors.ts';
import type { RequestHead } from '../http/head.ts';
import { MatchedHead } from '../http/matched-head.ts';
import { TrafficMetrics } from '../metrics/registry.ts';
import { Backends } from './backends.ts';
import type { OutboundContext } from './context.ts';
import { chooser } from './distribute.ts';
import { RouteTable } from './route-table.ts';
import { seededRandom } from '../../test/harness/random.ts';

const ROUNDS = 1_500;
const SERVICE: ResourceRef = {
  type: 'resource',
  group: 'core',
  kind: 'Service',
  name: 'web',
  namespace: 'shop',
  port: 80,
};
const DISTRIBUTION = {
  kind: 'first-available',
  backends: [{ backend: { ref: SERVICE, target: { kind: 'none' } }, filters: [] }],
} as const;

/** Policies and requests that meet often, from a seed. */
class Arbitrary {
  readonly #random: () => number;
  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }
  below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
  pick<T>(...values: readonly T[]): T {
    return values[this.below(values.length)] as T;
  }
  some<T>(make: (index: number) => T, max = 3): readonly T[] {
    return Array.from({ length: this.below(max + 1) }, (_, index) => make(index));
  }
  hosts(): readonly HostMatch[] {
    return this.some(
      () =>
        this.pick<HostMatch>(
          { kind: 'exact', host: 'web.shop' },
          { kind: 'suffix', reverseLabels: ['shop'] },
          { kind: 'exact', host: 'other' },
        ),
      2,
    );
  }
  headers(): HttpMatch['headers'] {
    return this.pick<HttpMatch['headers']>(
      [],
      [],
      [{ name: 'x', value: { kind: 'exact', value: '1' } }],
      [{ name: 'x', value: { kind: 'regex', pattern: '[12]' } }],
    );
  }
  match(): HttpMatch {
    return {
      headers: this.headers(),
      queryParams: this.pick<HttpMatch['queryParams']>([], [], [{ name: 'q', value: { kind: 'exact', value: '1' } }]),
      ...this.pick({}, {}, { method: 'GET' }),
      ...this.pick<Pick<HttpMatch, 'path'>>(
        {},
        { path: { kind: 'prefix', value: this.pick('/', '/a', '/a/b') } },
        { path: { kind: 'exact', value: this.pick('/a', '/a/b', '/pkg.Svc/Do') } },
        { path: { kind: 'regex', pattern: '/a.*' } },
      ),
    };
  }
  grpcMatch(): GrpcMatch {
    return {
      headers: this.headers(),
      ...this.pick({}, { service: 'pkg.Svc' }, { service: 'pkg.Other' }),
      ...this.pick({}, { method: 'Do' }),
    };
  }
  condition(depth = 0): RequestCondition {
    if (depth < 2 && this.below(2) === 0) {
      if (this.below(3) === 0) return { kind: 'not', condition: this.condition(depth + 1) };
      return { kind: this.pick('all', 'any'), conditions: this.some(() => this.condition(depth + 1)) };
    }
    return this.pick<RequestCondition>(
      { kind: 'method', method: this.pick('GET', 'POST') },
      { kind: 'path', pattern: this.pick('/a.*', '/a', '/pkg.*') },
    );
  }
  head(): RequestHead {
    const method = this.pick('GET', 'POST');
    const target = this.pick('/', '/a', '/a/b', '/a/b?q=1', '/b?q=2', '/pkg.Svc/Do', '/pkg.Svc/Not');
    const field = this.pick('', 'x: 1\r\n', 'X: 2\r\n', 'x: 3\r\n');
    return {
      method,
      target,
      isHttp11: true,
      isHttp2: false,
      authority: this.pick('web.shop', 'WEB.shop:80', 'a.shop', 'other', 'nobody'),
      lines: `${method} ${target} HTTP/1.1\r\n${field}`,
      body: 'none',
      bodyBytes: 0,
      isPersistent: true,
      upgrade: undefined,
      protocol: undefined,
      requiredIdentity: undefined,
      overrides: undefined,
    };
  }
}

const patterns = new Patterns(64);

/** A table of the proxy without anything behind it. */
function withTable(
  make: (backends: Backends, context: OutboundContext) => RouteTable,
  use: (table: RouteTable) => void,
): void {
  const context = { metrics: new TrafficMetrics(), patterns, random: () => 0.5 } as unknown as OutboundContext;
  const services = { acquire: () => undefined } as never;
  using table = make(new Backends(services, context, undefined, () => undefined as never), context);
  use(table);
}

/** The number of a rule, which is its time limit, and what the rule says about sessions. */
type Outcome = { readonly rule: number | undefined | 'no-route'; readonly session?: SessionPersistence | undefined };

function chosen(table: RouteTable, head: RequestHead): Outcome {
  try {
    const { timeouts, sessions } = table.find(head, patterns.matches);
    return { rule: timeouts.requestMs, session: sessions?.persistence };
  } catch (error) {
    assert.ok(error instanceof ProxyError && error.code === 'no-route', String(error));
    return { rule: 'no-route' };
  }
}

function explained(known: Parameters<typeof evaluateOutbound>[0], head: RequestHead): Outcome {
  const verdict = evaluateOutbound(known, new MatchedHead(head, patterns.matches));
  return verdict.kind === 'routed'
    ? { rule: verdict.timeouts.requestMs, session: verdict.session }
    : { rule: verdict.kind };
}

function compare(
  known: { readonly policy?: OutboundPolicy; readonly profile?: Profile },
  arbitrary: Arbitrary,
  seen: Set<unknown>,
): void {
  const make = (backends: Backends, context: OutboundContext): RouteTable =>
    known.policy === undefined
      ? RouteTable.ofProfile(known.profile as Profile, 'web.shop.svc.cluster.local:80', backends, context)
      : RouteTable.ofPolicy(known.policy, undefined, backends, context, { address: '10.0.0.1', port: 80 });
  withTable(make, (table) => {
    for (let nth = 0; nth < 8; nth += 1) {
      const head = arbitrary.head();
      const proxy = chosen(table, head);
      assert.deepEqual(explained(known, head), proxy, `${head.lines} ${head.authority} ${JSON.stringify(known)}`);
      seen.add(proxy.rule);
    }
  });
}

test('the proxy chooses the rule that the model explains: routes of HTTP and gRPC', () => {
  const arbitrary = new Arbitrary(11);
  const seen = new Set<unknown>();
  for (let round = 0; round < ROUNDS; round += 1) {
    let number = 0;
    const rest = () => {
      number += 1;
      const session = { carrier: { kind: 'header', name: 'x' }, scope: String(number) } as const;
      return {
        filters: [],
        distribution: DISTRIBUTION,
        timeouts: { requestMs: number },
        allowsRequestHeaders: false,
        ...arbitrary.pick({}, { session }),
      };
    };
    const ref = (index: number): ResourceRef => ({ type: 'default', name: `r${index}` });
    const protocol: OutboundProtocol = arbitrary.pick(
      {
        kind: 'http1' as const,
        routes: arbitrary.some((index) => ({
          ref: ref(index),
          hosts: arbitrary.hosts(),
          rules: arbitrary.some(() => ({ ...rest(), matches: arbitrary.some(() => arbitrary.match()) })),
        })),
      },
      {
        kind: 'grpc' as const,
        routes: arbitrary.some((index) => ({
          ref: ref(index),
          hosts: arbitrary.hosts(),
          rules: arbitrary.some(() => ({ ...rest(), matches: arbitrary.some(() => arbitrary.grpcMatch()) })),
        })),
      },
    );
    compare({ policy: { ref: SERVICE, protocol } }, arbitrary, seen);
  }
  assert.ok(seen.has('no-route') && seen.size > 5, `outcomes: ${[...seen].join()}`);
});

test('the proxy chooses the route that the model explains: ServiceProfiles', () => {
  const arbitrary = new Arbitrary(12);
  const seen = new Set<unknown>();
  for (let round = 0; round < ROUNDS; round += 1) {
    const routes = arbitrary.some((index) => ({
      condition: arbitrary.condition(),
      responseClasses: [],
      labels: {},
      isRetryable: false,
      timeoutMs: index + 1,
    }));
    const profile: Profile = {
      fullyQualifiedName: 'web.shop.svc.cluster.local',
      isOpaque: false,
      parent: SERVICE,
      routes,
    };
    compare({ profile }, arbitrary, seen);
  }
  assert.deepEqual([...seen].map(String).toSorted(), ['1', '2', '3', 'undefined']);
});

test('the proxy sends a TLS connection where the model explains', () => {
  const arbitrary = new Arbitrary(13);
  let matched = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const routes = arbitrary.some((index) => ({
      ref: { type: 'default', name: `r${index}` } as const,
      serverNames: arbitrary.hosts(),
      filters: [{ kind: 'invalid', message: `r${index}` }] as const,
      distribution: DISTRIBUTION,
    }));
    const policy: OutboundPolicy = { ref: SERVICE, protocol: { kind: 'tls', routes } };
    const name = arbitrary.pick(undefined, 'web.shop', 'a.shop', 'other', 'nobody');
    const verdict = evaluateConnection({ policy }, name);
    const make = (backends: Backends, context: OutboundContext): RouteTable =>
      RouteTable.ofPolicy(policy, undefined, backends, context, { address: '10.0.0.1', port: 443 });
    withTable(make, (table) => {
      if (verdict.kind === 'no-route') {
        assert.throws(() => table.connections?.find(name), { code: 'no-route' });
        return;
      }
      matched += 1;
      const { ref } = verdict.decider ?? {};
      assert.throws(
        () => table.connections?.find(name).choose(),
        (error: Error) => error.message.endsWith(`: ${ref?.name}`),
      );
    });
  }
  assert.ok(matched > 300, `${matched} connections were routed`);
});

test('of the targets of a profile the proxy chooses those that the model gives a share', () => {
  const arbitrary = new Arbitrary(14);
  let absent = 0;
  for (let round = 0; round < ROUNDS / 10; round += 1) {
    const targets = arbitrary.some((index) => ({ authority: `t${index}:80`, weight: arbitrary.below(3) }), 4);
    if (targets.length === 0) continue;
    const gone = new Set(targets.filter(() => arbitrary.below(2) === 0).map(({ authority }) => authority));
    const shares = targetShares(
      { isOpaque: false, targets },
      { absenceOf: ({ authority }) => (gone.has(authority) ? 'gone' : undefined) },
    );
    const candidates = targets.map(({ authority, weight }) => ({
      weight,
      isAvailable: () => !gone.has(authority),
      way: () => new ProxyError('no-backend', authority),
    }));
    let part = 0;
    const choose = chooser(candidates, true, () => (part += 0.01) % 1);
    const chosenOnes = new Set(
      Array.from({ length: 100 }, () => choose()).map((way) => (way instanceof ProxyError ? way.message : '')),
    );
    const expected = targets.filter((_, index) => (shares[index]?.ratio ?? 0) > 0).map(({ authority }) => authority);
    if (expected.length === 0) continue; // all weights are 0
    assert.deepEqual([...chosenOnes].toSorted(), expected.toSorted());
    if (gone.size > 0) absent += 1;
  }
  assert.ok(absent > 50, `${absent} splits had absent targets`);
});
