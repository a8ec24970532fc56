// Objects that say where requests go, created, changed and deleted in an API server, as stock gRPC clients see them.
import { test } from 'node:test';
import { defaultValues } from '#config/values.ts';
import { renderCrds, renderGatewayApiCrds } from '../install/render.ts';
import { asList, asObject } from '#k8s/json.ts';
import { eventually } from '#k8s/testing.ts';
import { encodeSocketAddress } from '#api/encode/net.ts';
import { collect, startControlPlane } from './testing-process.ts';
import { serviceObject } from './testing.ts';

const DEADLINE_MS = 5000;
const CRDS = 'customresourcedefinitions.apiextensions.k8s.io';

/** Durations and addresses have big integers. */
function withText(_name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? Number(value) : value;
}

async function setUp() {
  const all = await startControlPlane();
  const { client } = all.cluster.server;
  for (const [name, ip] of [
    ['web', '10.96.0.7'],
    ['web-v2', '10.96.0.8'],
  ] as const) {
    await client.create('services', serviceObject(name, ip, [{ name: 'http', port: 80 }]) as never);
  }
  const target = { $case: 'addr', value: encodeSocketAddress('10.96.0.7', 80) } as const;
  const watch = (namespace: string) =>
    collect(
      all.clients.outbound.watch({ sourceWorkload: JSON.stringify({ ns: namespace, pod: 'client' }), target }),
      (message) => JSON.stringify(message, withText),
    );
  const outbound = watch('shop');
  const foreign = watch('elsewhere');
  const contextToken = JSON.stringify({ ns: 'shop' });
  const profile = collect(
    all.clients.destination.getProfile({ scheme: '', path: '10.96.0.7:80', contextToken }),
    (message) => JSON.stringify(message, withText),
  );
  await eventually('first answers', () => [outbound, foreign, profile].every(({ seen }) => seen.length > 0));
  return {
    all,
    client,
    /** Waits until the last thing that a stream said holds, or no longer holds, a text. */
    policySays: (what: string, text: RegExp) => says(outbound, what, text),
    policyEndsSaying: (what: string, text: RegExp) => says(outbound, what, text, false),
    foreignEndsSaying: (what: string, text: RegExp) => says(foreign, what, text, false),
    foreignSays: (what: string, text: RegExp) => says(foreign, what, text),
    profileSays: (what: string, text: RegExp) => says(profile, what, text),
    profileEndsSaying: (what: string, text: RegExp) => says(profile, what, text, false),
    conditions(plural: string, name: string): string {
      const parents = asList(asObject(client.get(plural, 'shop', name)?.['status'])['parents']).map(asObject);
      const ours = parents.filter(({ controllerName }) => controllerName === 'tulle.dev/policy-controller');
      return ours
        .flatMap(({ conditions }) => asList(conditions).map(asObject))
        .map(({ type, status, reason }) => `${String(type)}=${String(status)}/${String(reason)}`)
        .join(' ');
    },
  };
}

async function says(stream: { readonly seen: readonly string[] }, what: string, text: RegExp, holds = true) {
  await eventually(what, () => text.test(stream.seen.at(-1) ?? '') === holds, DEADLINE_MS);
}

function route(name: string, rules: readonly object[], more: object = {}, namespace = 'shop') {
  return {
    metadata: { name, namespace },
    spec: { parentRefs: [{ group: '', kind: 'Service', name: 'web', namespace: 'shop' }], rules, ...more },
  };
}

test('kinds come and go at run time; each object changes what is streamed when it is created, changed and deleted', async () => {
  const t = await setUp();
  await using _all = t.all;
  const { client } = t;
  for (const crd of [...renderCrds(defaultValues('0.0.0')), ...renderGatewayApiCrds()]) await client.create(CRDS, crd);

  const gateway = 'httproutes.gateway.networking.k8s.io';
  const split = {
    backendRefs: [
      { name: 'web', port: 80, weight: 90 },
      { name: 'web-v2', port: 80, weight: 10 },
    ],
  };
  await client.create(gateway, route('split', [split]));
  await t.policySays('the split', /"weight":10\b/);
  await eventually(
    'its status',
    () =>
      t.conditions(gateway, 'split') ===
      'Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs tulle.dev/Effective=True/Effective',
  );
  await client.patch(gateway, 'shop', 'split', 'merge', {
    spec: {
      rules: [
        {
          backendRefs: [
            { name: 'web', port: 80, weight: 50 },
            { name: 'gone', port: 80, weight: 50 },
          ],
        },
      ],
    },
  });
  await t.policySays('the missing backend', /Service shop\/gone not found/);
  await eventually(
    'its status',
    () =>
      t.conditions(gateway, 'split') ===
      'Accepted=True/Accepted ResolvedRefs=False/BackendNotFound tulle.dev/Effective=False/TL0103',
  );
  await client.create('services', serviceObject('gone', '10.96.0.9', [{ port: 80 }]) as never);
  await t.policyEndsSaying('the missing backend', /not found/);
  await client.create(gateway, route('bad', [{ filters: [{ type: 'CORS', cors: { allowOrigins: ['*'] } }] }]));
  await eventually('the refusal', () => t.conditions(gateway, 'bad').startsWith('Accepted=False/UnsupportedValue'));
  await t.policySays('the good route still', /gone\.shop\.svc/);

  await client.create('namespaces', { metadata: { name: 'elsewhere' } });
  await client.create(gateway, route('consumer', [{ timeouts: { request: '7s' } }], {}, 'elsewhere'));
  await t.foreignSays('the route of its namespace', /"name":"consumer"/);
  await t.foreignEndsSaying('the route of the Service', /"name":"split"/);
  await t.policySays('the route of the Service', /"name":"split"/);

  const grpc = 'grpcroutes.gateway.networking.k8s.io';
  await client.create(grpc, route('echo', [{ matches: [{ method: { service: 'echo.Echo' } }] }]));
  await t.policySays('gRPC', /"\$case":"grpc"/);
  await eventually('the loser', () =>
    t.conditions(gateway, 'split').startsWith('Accepted=False/RouteReasonConflicted'),
  );
  await client.delete(CRDS, undefined, grpc);
  await t.policyEndsSaying('gRPC after its kind went', /"\$case":"grpc"/);
  await client.delete(CRDS, undefined, gateway);
  await t.policyEndsSaying('routes after their kind went', /"name":"split"/);

  const linkerd = 'httproutes.policy.linkerd.io';
  const matches = [{ path: { type: 'Exact', value: '/only' } }];
  await client.create(linkerd, route('only', [{ matches }]));
  await t.policySays('the exact path', /"\$case":"exact","value":"\/only"/);
  await client.delete(linkerd, 'shop', 'only');
  await t.policyEndsSaying('the exact path', /"\$case":"exact","value":"\/only"/);

  const annotations = { 'retry.linkerd.io/http': '5xx', 'balancer.linkerd.io/failure-accrual': 'consecutive' };
  await client.patch('services', 'shop', 'web', 'merge', { metadata: { annotations } });
  await t.policySays('retries and breaking', /"maxFailures":7.*"start":500|"start":500.*"maxFailures":7/);
});

test('ServiceProfiles and TrafficSplits change the profile of a Service', async () => {
  const t = await setUp();
  await using _all = t.all;
  const { client } = t;
  for (const crd of renderCrds(defaultValues('0.0.0'))) await client.create(CRDS, crd);

  const profiles = 'serviceprofiles.linkerd.io';
  const name = 'web.shop.svc.cluster.local';
  const spec = { routes: [{ name: 'GET /a', condition: { method: 'GET', pathRegex: '/a' }, isRetryable: true }] };
  await client.create(profiles, { metadata: { name, namespace: 'shop' }, spec });
  await t.profileSays('the route', /"regex":"\/a".*"isRetryable":true/);
  await client.patch(profiles, 'shop', name, 'merge', {
    spec: { retryBudget: { retryRatio: 0.5, minRetriesPerSecond: 1, ttl: '10s' } },
  });
  await t.profileSays('the budget', /"retryRatio":0\.5/);
  await client.delete(profiles, 'shop', name);
  await t.profileEndsSaying('the route', /"regex":"\/a"/);

  const splits = 'trafficsplits.split.smi-spec.io';
  const backends = [
    { service: 'web', weight: 90 },
    { service: 'web-v2', weight: 10 },
  ];
  await client.create(splits, {
    metadata: { name: 'web', namespace: 'shop' },
    spec: { service: 'web', backends },
  });
  await t.profileSays('the split', /web-v2\.shop\.svc\.cluster\.local:80/);
  await client.patch(splits, 'shop', 'web', 'merge', { spec: { backends: [{ service: 'web', weight: 1 }] } });
  await t.profileEndsSaying('the second half of the split', /web-v2/);
  await client.delete(splits, 'shop', 'web');
  await t.profileEndsSaying('the split', /dstOverrides":\[\{/);
});
