import assert from 'node:assert/strict';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { test } from 'node:test';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import {
  Span_SpanKind,
  Status_StatusCode,
  TraceServiceService,
  type ExportTraceServiceRequest,
  type Span as SpanMessage,
  type TraceServiceServer,
} from '#api/gen/otlp_trace.ts';
import { createLogger } from '#runtime/log.ts';
import { GrpcClient } from '../grpc/client.ts';
import { Exposition } from '../metrics/exposition.ts';
import { exchange, eventually, identityOf, meshed, TestApp, TestMesh, unmeshed } from '../testing/mesh.ts';
import { Client } from '../testing/routed.ts';
import { parseLines } from './attributes.ts';
import { SpanExporter } from './exporter.ts';
import type { Span } from './span.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';

type Collector = { readonly port: number; readonly requests: readonly ExportTraceServiceRequest[] } & Disposable;

/** A collector of grpc-js. @param rejected  spans of each batch that it says it does not take */
async function collect(rejected = 0): Promise<Collector> {
  const server = new Server();
  const requests: ExportTraceServiceRequest[] = [];
  const service: TraceServiceServer = {
    export: (call, done) => {
      requests.push(call.request);
      const partialSuccess = rejected === 0 ? undefined : { rejectedSpans: BigInt(rejected), errorMessage: 'full' };
      done(null, { partialSuccess });
    },
  };
  server.addService(TraceServiceService, service);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { port, requests, [Symbol.dispose]: () => server.forceShutdown() };
}

function spansOf({ requests }: Collector): readonly SpanMessage[] {
  return requests.flatMap(({ resourceSpans }) =>
    resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)),
  );
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function attributesOf(list: SpanMessage['attributes']): Readonly<Record<string, string | number>> {
  return Object.fromEntries(
    list.map(({ key, value }) => {
      const { value: one } = value ?? {};
      return [key, one === undefined ? '' : one.$case === 'intValue' ? Number(one.value) : one.value];
    }),
  );
}

/** An application that keeps the fields that it gets. */
async function recorder(): Promise<TestApp & { readonly seen: readonly IncomingHttpHeaders[] }> {
  const seen: IncomingHttpHeaders[] = [];
  const server = createServer((request, response) => {
    seen.push(request.headers);
    response.end('ok');
  });
  return Object.assign(await TestApp.start(server), { seen });
}

function tracingTo(port: number, more: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  return { TRACE_COLLECTOR_SVC_ADDR: `127.0.0.1:${port}`, ...more };
}

test('a sampled trace goes through both proxies: each span has the one before as its parent, over mutual TLS to the collector', async () => {
  await using mesh = await TestMesh.start();
  using collector = await collect();
  using one = await recorder();
  const collectorProxy = await mesh.proxy({
    name: 'collector',
    redirectedTo: { address: '127.0.0.1', port: collector.port },
  });
  const collectorIdentity = identityOf('collector');
  const env = tracingTo(collectorProxy.inboundPort, {
    TRACE_SERVICE_NAME: 'proxies',
    TRACE_EXTRA_ATTRIBUTES: 'k8s.pod.name=web-1\nzone="a b"',
  });
  const server = await mesh.proxy({ name: 'web', env, collectorIdentity });
  mesh.serve([meshed('web', one.port, server)]);
  const proxy = await mesh.proxy({ name: 'client', env, collectorIdentity });
  using client = new Client(proxy);
  const headers = { traceparent: `00-${TRACE}-${PARENT}-01`, tracestate: 'a=1' };
  assert.equal((await client.get('/path?secret=1', headers)).status, 200);
  assert.equal((await client.get('/untraced')).status, 200);
  await proxy.drain();
  await server.drain();
  await eventually(() => spansOf(collector).length >= 2, 'the spans of both sides');
  const spans = spansOf(collector);
  assert.equal(spans.length, 2);
  const outbound = spans.find(({ kind }) => kind === Span_SpanKind.SPAN_KIND_CLIENT);
  const inbound = spans.find(({ kind }) => kind === Span_SpanKind.SPAN_KIND_SERVER);
  assert.ok(outbound && inbound);
  assert.deepEqual([hex(outbound.traceId), hex(inbound.traceId)], [TRACE, TRACE]);
  assert.equal(hex(outbound.parentSpanId), PARENT);
  assert.equal(hex(inbound.parentSpanId), hex(outbound.spanId));
  assert.deepEqual(
    [one.seen[0]?.['traceparent'], one.seen[0]?.['tracestate']],
    [`00-${TRACE}-${hex(inbound.spanId)}-01`, 'a=1'],
  );
  assert.equal(one.seen[1]?.['traceparent'], undefined);
  assert.deepEqual(attributesOf(outbound.attributes), {
    direction: 'outbound',
    'http.request.method': 'GET',
    'url.scheme': 'http',
    'url.path': '/path',
    'server.address': 'web',
    'network.protocol.version': '1.1',
    'http.response.status_code': 200,
  });
  assert.deepEqual([outbound.name, outbound.traceState, outbound.status], ['/path', 'a=1', undefined]);
  assert.ok(outbound.endTimeUnixNano >= outbound.startTimeUnixNano && outbound.startTimeUnixNano > 0n);
  const [resource] = collector.requests[0]?.resourceSpans ?? [];
  const { 'host.name': _host, ...attributes } = attributesOf(resource?.resource?.attributes ?? []);
  assert.deepEqual(attributes, { 'service.name': 'proxies', 'k8s.pod.name': 'web-1', zone: 'a b' });
  const metrics = await (await fetch(`http://127.0.0.1:${proxy.adminPort}/metrics`)).text();
  assert.match(metrics, /opentelemetry_span_exports_total 1\n/);
});

test('a gateway makes the two spans of a proxy that a request comes to and goes out of', async () => {
  await using mesh = await TestMesh.start();
  using collector = await collect();
  using one = await recorder();
  const env = tracingTo(collector.port, { INBOUND_GATEWAY_SUFFIXES: 'svc.cluster.local.' });
  const gateway = await mesh.proxy({ name: 'gateway', env });
  const server = await mesh.proxy({ name: 'cart' });
  const remote = 'cart.store.svc.cluster.local:8080';
  mesh.serve([{ ...meshed('gateway', gateway.inboundPort, gateway), authorityOverride: remote }]);
  mesh.control.setEndpoints(remote, [meshed('cart', one.port, server)]);
  using client = new Client(await mesh.proxy({ name: 'client' }));
  assert.equal((await client.get('/path', { traceparent: `00-${TRACE}-${PARENT}-01` })).status, 200);
  await gateway.drain();
  await eventually(() => spansOf(collector).length >= 2, 'the spans of the gateway');
  const spans = spansOf(collector);
  assert.equal(spans.length, 2);
  const outbound = spans.find(({ kind }) => kind === Span_SpanKind.SPAN_KIND_CLIENT);
  const inbound = spans.find(({ kind }) => kind === Span_SpanKind.SPAN_KIND_SERVER);
  assert.ok(outbound && inbound);
  assert.equal(hex(inbound.parentSpanId), PARENT);
  assert.equal(hex(outbound.parentSpanId), hex(inbound.spanId));
  assert.equal(one.seen[0]?.['traceparent'], `00-${TRACE}-${hex(outbound.spanId)}-01`);
  const { 'server.address': address, 'server.port': port } = attributesOf(outbound.attributes);
  assert.deepEqual([address, port], ['cart.store.svc.cluster.local', 8080]);
});

test('a span of B3 says why its request failed; what is not sampled passes untouched', async () => {
  await using mesh = await TestMesh.start();
  using collector = await collect();
  using one = await recorder();
  mesh.serve([unmeshed(one.port)]);
  const proxy = await mesh.proxy({ name: 'client', env: tracingTo(collector.port) });
  const ask = (...fields: readonly string[]): Promise<Buffer> =>
    exchange(
      proxy.outboundPort,
      `GET /b3 HTTP/1.1\r\nhost: web:8080\r\n${fields.map((field) => `${field}\r\n`).join('')}connection: close\r\n\r\n`,
    );
  await ask(`b3: ${TRACE}-${PARENT}-0`, 'x: y');
  assert.equal(one.seen[0]?.['b3'], `${TRACE}-${PARENT}-0`);
  await ask(`x-b3-traceid: ${TRACE}`, `x-b3-spanid: ${PARENT}`, 'x-b3-sampled: 1');
  assert.equal(one.seen[1]?.['x-b3-parentspanid'], PARENT);
  const sent = one.seen[1]?.['x-b3-spanid'];
  const port = one.port;
  one[Symbol.dispose]();
  assert.match(String(await ask(`b3: ${TRACE}-${PARENT}-1`)), /^HTTP\/1\.1 502 /);
  await proxy.drain();
  await eventually(() => spansOf(collector).length >= 2, 'the spans');
  const [good, failed] = spansOf(collector);
  assert.equal(hex(good?.spanId ?? Buffer.alloc(0)), sent);
  assert.deepEqual(
    [failed?.status?.code, attributesOf(failed?.attributes ?? [])['error.type']],
    [Status_StatusCode.STATUS_CODE_ERROR, 'connect-refused'],
  );
  assert.match(failed?.status?.message ?? '', new RegExp(String(port)));
  assert.equal(attributesOf(failed?.attributes ?? [])['server.port'], 8080);
});

const SPAN: Span = {
  traceId: TRACE,
  spanId: PARENT,
  parentId: PARENT,
  state: '',
  kind: 'client',
  name: '/',
  startMs: 1,
  endMs: 2,
  attributes: {},
  error: undefined,
};

function counted(exposition: Exposition, line: RegExp): number {
  return Number(line.exec(exposition.text())?.[1] ?? 0);
}

function exporterTo(port: number): { readonly exporter: SpanExporter; readonly exposition: Exposition } & Disposable {
  const exposition = new Exposition();
  const client = new GrpcClient(
    { host: '127.0.0.1', port, identity: undefined },
    {
      exemption: { kind: 'uid', uid: 2102 },
      context: () => {
        throw new Error('plain text needs no certificate');
      },
      log: createLogger('test', 'silent'),
      random: Math.random,
    },
  );
  const exporter = new SpanExporter({ client, attributes: {}, version: 'test', exposition });
  const dispose = (): void => {
    exporter[Symbol.dispose]();
    client[Symbol.dispose]();
  };
  return { exporter, exposition, [Symbol.dispose]: dispose };
}

test('spans for a collector that is away are bounded, dropped and counted', async () => {
  using world = exporterTo(1); // nothing listens there
  const { exporter, exposition } = world;
  for (let count = 0; count < 2000; count += 1) exporter.add(SPAN);
  // 512 are on their way, 1000 wait.
  assert.equal(counted(exposition, /dropped_total\{reason="queue_full"\} (\d+)/), 488);
  await exporter.flush();
  assert.equal(counted(exposition, /dropped_total\{reason="not_sent"\} (\d+)/), 1512);
  assert.equal(counted(exposition, /span_exports_total (\d+)/), 0);
});

test('batches are bounded, and spans that the collector rejects are counted', async () => {
  using collector = await collect(2);
  using world = exporterTo(collector.port);
  const { exporter, exposition } = world;
  for (let count = 0; count < 1200; count += 1) exporter.add(SPAN);
  await exporter.flush();
  assert.deepEqual(
    collector.requests.map(({ resourceSpans }) => resourceSpans[0]?.scopeSpans[0]?.spans.length),
    [512, 512, 176],
  );
  assert.equal(counted(exposition, /dropped_total\{reason="rejected"\} (\d+)/), 6);
  assert.equal(counted(exposition, /span_exports_total (\d+)/), 1194);
});

test('attributes are lines, with or without quotes', () => {
  assert.deepEqual(parseLines('cluster="a"\nrack=r-22\nlinkerd.io/x="y=z"\nnothing\n=1\nempty=""\n'), {
    cluster: 'a',
    rack: 'r-22',
    'linkerd.io/x': 'y=z',
    empty: '',
  });
});
