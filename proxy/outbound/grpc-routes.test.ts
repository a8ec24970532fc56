import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import {
  Client,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  status,
  type sendUnaryData,
  type ServiceError,
  type ServerUnaryCall,
  type ServerWritableStream,
} from '@grpc/grpc-js';
import type { Backend } from '#model/backend.ts';
import type { GrpcFilter } from '#model/filter.ts';
import type { OutboundPolicy } from '#model/outbound.ts';
import type { ResourceRef } from '#model/resource-ref.ts';
import type { GrpcRule } from '#model/route.ts';
import { eventually, meshed, SERVICE_HOST, TestMesh, unmeshed } from '../testing/mesh.ts';

const PORT = 80;
const SERVICE: ResourceRef = { type: 'resource', group: 'core', kind: 'Service', name: 'web', namespace: 'shop' };
const ROUTE: ResourceRef = {
  type: 'resource',
  group: 'gateway.networking.k8s.io',
  kind: 'GRPCRoute',
  name: 'r',
  namespace: 'shop',
};
const POLICY: OutboundPolicy = {
  ref: SERVICE,
  protocol: {
    kind: 'grpc',
    routes: [
      {
        ref: ROUTE,
        hosts: [],
        rules: [
          {
            matches: [],
            filters: [],
            distribution: {
              kind: 'first-available',
              backends: [
                {
                  backend: { ref: SERVICE, target: { kind: 'balancer', authority: `${SERVICE_HOST}:${PORT}` } },
                  filters: [],
                },
              ],
            },
            timeouts: {},
            allowsRequestHeaders: false,
            retry: { maxRetries: 2, maxRequestBytes: 65_536, conditions: ['unavailable'] },
          },
        ],
      },
    ],
  },
};

const raw = (bytes: Buffer): Buffer => bytes;
const method = (name: string, responseStream: boolean) => ({
  path: `/shop.Orders/${name}`,
  requestStream: false,
  responseStream,
  requestSerialize: raw,
  requestDeserialize: raw,
  responseSerialize: raw,
  responseDeserialize: raw,
});

type App = { readonly port: number; readonly calls: () => number } & Disposable;

/** `Place` fails twice, with its status in trailers behind a head; `Watch` sends its head long before a message. */
async function orders(): Promise<App> {
  const server = new Server();
  let calls = 0;
  server.addService(
    { place: method('Place', false), watch: method('Watch', true) },
    {
      place: (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) => {
        calls += 1;
        call.sendMetadata(new Metadata());
        if (calls % 3 === 0) done(null, Buffer.from(`placed ${call.request.toString()}`));
        else setImmediate(() => done({ code: status.UNAVAILABLE, details: 'not yet' }));
      },
      watch: (call: ServerWritableStream<Buffer, Buffer>) => {
        const first = new Metadata();
        first.set('x-accepted', 'yes');
        call.sendMetadata(first);
        // Nothing more until the client has got the head and gives up.
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { port, calls: () => calls, [Symbol.dispose]: () => server.forceShutdown() };
}

function place(client: Client, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest('/shop.Orders/Place', raw, raw, Buffer.from(text), (error, value?: Buffer) =>
      error === null ? resolve(String(value)) : reject(error),
    );
  });
}

async function metricsOf(port: number): Promise<string> {
  return (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
}

test('a gRPC status behind the head is retried, and a head that nothing follows is not kept back', async () => {
  await using mesh = await TestMesh.start();
  using app = await orders();
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  mesh.control.setOutboundPolicy(PORT, POLICY);
  mesh.servePort(PORT, [meshed('web', app.port, server)], false);
  const grpc = new Client(`127.0.0.1:${client.outboundPort}`, credentials.createInsecure());
  try {
    assert.equal(await place(grpc, 'one'), 'placed one');
    assert.equal(app.calls(), 3);
    const watch = grpc.makeServerStreamRequest('/shop.Orders/Watch', raw, raw, Buffer.from(''));
    const [head] = (await once(watch, 'metadata')) as [Metadata];
    assert.equal(head.get('x-accepted')[0], 'yes');
    watch.on('error', () => {});
    watch.cancel();
  } finally {
    grpc.close();
  }
  const metrics = await metricsOf(client.adminPort);
  const value = (family: string, ...labels: readonly string[]): number =>
    Number(
      metrics
        .split('\n')
        .find((line) => line.startsWith(`${family}{`) && labels.every((label) => line.includes(label)))
        ?.split(' ')
        .at(-1),
    );
  const route = 'outbound_grpc_route';
  assert.equal(value(`${route}_request_statuses_total`, 'grpc_status="OK"', 'route_name="r"'), 1);
  assert.equal(value(`${route}_backend_response_statuses_total`, 'grpc_status="UNAVAILABLE"'), 2);
  assert.equal(value(`${route}_backend_response_statuses_total`, 'grpc_status="OK"'), 1);
  assert.equal(value(`${route}_retry_requests_total`), 2);
  assert.equal(value(`${route}_retry_successes_total`), 1);
});

/** The policy with filters for the only rule, and other changes of it. */
function filtered(filters: readonly GrpcFilter[], change: Partial<GrpcRule> = {}): OutboundPolicy {
  const { protocol } = POLICY;
  assert.ok(protocol.kind === 'grpc');
  const [route] = protocol.routes;
  const [rule] = route?.rules ?? [];
  assert.ok(route && rule);
  const { retry: _none, ...others } = rule;
  return {
    ref: SERVICE,
    protocol: { kind: 'grpc', routes: [{ ...route, rules: [{ ...others, filters, ...change }] }] },
  };
}

test('calls of gRPC are mirrored, delayed and failed by the filters of their route, and say so', async () => {
  await using mesh = await TestMesh.start();
  using app = await orders();
  using shadow = await orders();
  const shadowName = 'shadow.shop.svc.cluster.local:80';
  const backend: Backend = { ref: { ...SERVICE, name: 'shadow' }, target: { kind: 'balancer', authority: shadowName } };
  const never = { numerator: 0, denominator: 1 };
  mesh.control.setOutboundPolicy(
    PORT,
    filtered([
      { kind: 'mirror', backend },
      { kind: 'delay', delayMs: 20 },
      { kind: 'failure', code: status.ABORTED, message: 'never', ratio: never },
    ]),
  );
  mesh.control.setEndpoints(shadowName, [unmeshed(shadow.port)]);
  mesh.servePort(PORT, [unmeshed(app.port)], false);
  const client = await mesh.proxy({ name: 'client' });
  const grpc = new Client(`127.0.0.1:${client.outboundPort}`, credentials.createInsecure());
  try {
    const outcomes = await Promise.allSettled([place(grpc, 'a'), place(grpc, 'b'), place(grpc, 'c')]);
    assert.equal(outcomes.filter((one) => one.status === 'fulfilled').length, 1);
    assert.equal(app.calls(), 3);
    await eventually(() => shadow.calls() === 3, 'each call is mirrored once');
    mesh.control.setOutboundPolicy(PORT, filtered([{ kind: 'failure', code: status.ABORTED, message: '50% off' }]));
    const failure = await eventuallyFails(grpc, status.ABORTED);
    assert.equal(failure.details, '50% off');
    assert.equal(failure.metadata.get('l5d-proxy-error')[0], 'injected: 50% off');
  } finally {
    grpc.close();
  }
});

test('calls of gRPC show their session in a field', async () => {
  await using mesh = await TestMesh.start();
  using one = await orders();
  using two = await orders();
  const session = { carrier: { kind: 'header', name: 'x-sid' }, scope: 'rule-0' } as const;
  mesh.control.setOutboundPolicy(PORT, filtered([], { session }));
  mesh.servePort(PORT, [unmeshed(one.port), unmeshed(two.port)], false);
  const client = await mesh.proxy({ name: 'client' });
  const grpc = new Client(`127.0.0.1:${client.outboundPort}`, credentials.createInsecure());
  const call = async (fields: Metadata): Promise<Metadata> => {
    const path = '/shop.Orders/Place';
    const placed = grpc.makeUnaryRequest(path, raw, raw, Buffer.from(''), fields, {}, () => {});
    const [head] = (await once(placed, 'metadata')) as [Metadata];
    return head;
  };
  try {
    const [value] = (await call(new Metadata())).get('x-sid');
    assert.match(String(value), /^t1\.[\w-]{32}$/);
    const shown = new Metadata();
    shown.set('x-sid', value ?? '');
    const before = [one.calls(), two.calls()];
    for (let count = 0; count < 20; count += 1) assert.deepEqual((await call(shown)).get('x-sid'), []);
    const grown = [one.calls(), two.calls()].map((calls, index) => calls - (before[index] ?? 0));
    assert.deepEqual(
      grown.sort((a, b) => a - b),
      [0, 20],
    );
  } finally {
    grpc.close();
  }
});

/** The error of the first call that ends with this status. */
async function eventuallyFails(grpc: Client, code: status): Promise<ServiceError> {
  let found: ServiceError | undefined;
  await eventually(async () => {
    const error = await place(grpc, 'x').catch((reason: unknown) => reason as ServiceError);
    if (typeof error !== 'string' && error.code === code) found = error;
    return found !== undefined;
  }, `a call ends with ${code}`);
  assert.ok(found);
  return found;
}
