import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import { createTestAuthority } from '#pki/testing.ts';
import { systemClock } from '#runtime/clock.ts';
import { eventually, exchange, meshed, TestApp, TestMesh } from './testing/mesh.ts';

const GET = 'GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n';

function hello(): Promise<TestApp> {
  return TestApp.start(createServer((_request, response) => response.end('hello')));
}

test('connections wait for the first certificate instead of being refused', async () => {
  await using mesh = await TestMesh.start();
  using app = await hello();
  mesh.control.isIdentityDown = true;
  const redirectedTo = { address: '127.0.0.1', port: app.port };
  const proxy = await mesh.startProxy({ name: 'web', redirectedTo });
  const status = async (): Promise<number> => (await fetch(`http://127.0.0.1:${proxy.adminPort}/ready`)).status;
  const reason = async (): Promise<string> => (await fetch(`http://127.0.0.1:${proxy.adminPort}/ready`)).text();
  assert.equal(await status(), 503);
  await eventually(async () => /^not ready: no valid certificate: .*told to be down/.test(await reason()), 'why');
  const answer = exchange(proxy.inboundPort, GET);
  mesh.control.isIdentityDown = false;
  assert.match((await answer).toString(), /hello$/);
  assert.equal(await status(), 200);
});

test('a control plane that cannot prove its name gets no token', async () => {
  await using mesh = await TestMesh.start();
  const foreign = createTestAuthority();
  const proxy = await mesh.startProxy({ name: 'web', env: { IDENTITY_TRUST_ANCHORS: foreign.anchorsPem } });
  const ready = (): Promise<Response> => fetch(`http://127.0.0.1:${proxy.adminPort}/ready`);
  await eventually(
    async () => /no valid certificate: .*(self.signed|verify|issuer)/.test(await (await ready()).text()),
    'why',
  );
  assert.equal(mesh.control.certified, 0);
  assert.equal((await ready()).status, 503);
});

test('a clock that jumps past the end of the certificate, as after a sleep, is answered by a new certificate at once', async () => {
  await using mesh = await TestMesh.start();
  let aheadMs = 0;
  const clock = { ...systemClock, now: () => Date.now() + aheadMs };
  const proxy = await mesh.proxy({ name: 'web', clock });
  assert.equal(mesh.control.certified, 1);
  aheadMs = 2 * 3_600_000;
  mesh.control.clockAheadMs = aheadMs;
  const status = async (): Promise<number> => (await fetch(`http://127.0.0.1:${proxy.adminPort}/ready`)).status;
  assert.equal(await status(), 503);
  await eventually(async () => (await status()) === 200, 'a new certificate', 3000);
  aheadMs = 0; // and back: the new one does not hold yet
  mesh.control.clockAheadMs = 0;
  assert.equal(await status(), 503);
  await eventually(async () => (await status()) === 200, 'a third certificate', 3000);
  assert.equal(mesh.control.certified, 3);
});

test('draining finishes what is under way, takes new connections for a moment, and ends', async () => {
  await using mesh = await TestMesh.start();
  let release: () => void = () => {};
  using app = await TestApp.start(
    createServer((request, response) => {
      if (request.url === '/slow') release = () => response.end('slow');
      else response.end('quick');
    }),
  );
  const redirectedTo = { address: '127.0.0.1', port: app.port };
  const proxy = await mesh.proxy({ name: 'web', redirectedTo });
  const slow = exchange(proxy.inboundPort, 'GET /slow HTTP/1.1\r\nhost: web\r\n\r\n', { isEnding: false });
  const idle = connect({ port: proxy.inboundPort, host: '127.0.0.1' });
  idle.write('GET / HTTP/1.1\r\nhost: web\r\n\r\n');
  await once(idle, 'data');
  await eventually(() => app.requests > 1, 'both requests are there');
  let isDrained = false;
  const drained = proxy.drain().then(() => {
    isDrained = true;
  });
  assert.match(
    (await exchange(proxy.inboundPort, GET.replace('connection: close\r\n', ''))).toString(),
    /connection: close\r\n[\s\S]*quick$/,
  );
  await once(idle, 'close');
  assert.equal(isDrained, false);
  release();
  assert.match((await slow).toString(), /connection: close\r\n[\s\S]*slow$/);
  await drained;
  await assert.rejects(exchange(proxy.inboundPort, GET), /ECONNREFUSED/);
});

test('the metrics have the names and labels of linkerd2-proxy', async () => {
  await using mesh = await TestMesh.start();
  using app = await hello();
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  mesh.serve([meshed('web', app.port, server)]);
  await exchange(client.outboundPort, GET);
  const scrape = async (port: number): Promise<string> => (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const outbound = await scrape(client.adminPort);
  const target = `target_addr="127.0.0.1:${app.port}",target_ip="127.0.0.1",target_port="${app.port}"`;
  const sid = 'server_id="web.shop.serviceaccount.identity.tulle.cluster.local"';
  const dst = 'dst_namespace="shop",dst_pod="web-1",dst_deployment="web"';
  const out = `direction="outbound",authority="web.shop.svc.cluster.local",${target},tls="true",${sid},${dst}`;
  assert.ok(outbound.includes(`request_total{${out}} 1`));
  assert.ok(
    outbound.includes(`response_total{${out},status_code="200",classification="success",grpc_status="",error=""} 1`),
  );
  assert.ok(outbound.includes(`response_latency_ms_bucket{${out},status_code="200",le="+Inf"} 1`));
  assert.ok(outbound.includes(`tcp_open_connections{${out},peer="dst"} 1`));
  const inbound = await scrape(server.adminPort);
  const cid = 'client_id="client.shop.serviceaccount.identity.tulle.cluster.local"';
  const srv = 'srv_group="",srv_kind="default",srv_name="all-unauthenticated"';
  const route = 'route_group="",route_kind="default",route_name="default"';
  const authz = 'authz_group="",authz_kind="default",authz_name="all-unauthenticated"';
  assert.ok(
    inbound.includes(`request_total{direction="inbound",${target},tls="true",${cid},${srv},${route},${authz}} 1`),
  );
  assert.ok(inbound.includes(`inbound_http_authz_allow_total{${target},tls="true",${cid},${srv},${route},${authz}} 1`));
  assert.match(inbound, /tcp_read_bytes_total\{direction="inbound",[^}]*peer="src",tls="true"[^}]*\} [1-9]/);
  for (const name of ['control_identity_cert_refreshes_total', 'process_start_time_seconds', 'proxy_build_info']) {
    assert.match(inbound, new RegExp(`^${name}`, 'm'));
  }
});
