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
  type ServerUnaryCall,
  type ServerWritableStream,
} from '@grpc/grpc-js';
import type { OutboundPolicy } from '#model/outbound.ts';
import type { ResourceRef } from '#model/resource-ref.ts';
import { meshed, SERVICE_HOST, TestMesh } from '../testing/mesh.ts';

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
