import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually, exchange, SERVICE_HOST, TestMesh, unmeshed } from '../testing/mesh.ts';
import { app, Client, metrics, policy, rule, within } from '../testing/routed.ts';

test('what the proxy fails is counted in the words of linkerd2-proxy too, by side and protocol; denials are not', async () => {
  await within([], policy([rule({ timeouts: { requestMs: 100 } })]), async ({ mesh, proxy, client }) => {
    assert.equal((await client.get()).status, 504);
    using slow = await app(() => {});
    mesh.control.setEndpoints(`${SERVICE_HOST}:80`, [unmeshed(slow.port)]);
    assert.equal((await client.get()).status, 504);
    mesh.control.setEndpoints(`${SERVICE_HOST}:80`, [unmeshed(1)]);
    assert.equal((await client.get()).status, 504);
    await assert.rejects(exchange(proxy.outboundPort, '\0hello'), /ECONNRESET/);
    const text = await metrics(proxy);
    assert.match(text, /^outbound_http_errors_total\{error="response timeout"\} 3$/m);
    const target = 'target_addr="10.96.0.7:80",target_ip="10.96.0.7",target_port="80"';
    assert.ok(text.includes(`outbound_tcp_errors_total{error="i/o",${target}} 1\n`), text);
  });
  await within([], policy([]), async ({ proxy, client }) => {
    assert.equal((await client.get()).status, 404);
    assert.match(await metrics(proxy), /proxy_errors_total\{direction="outbound",error="no-route"\} 1\n/);
    assert.doesNotMatch(await metrics(proxy), /^outbound_http_errors_total\{/m);
  });
});

test('endpoints of a backend are counted by what can be used, and no longer when the policy is gone', async () => {
  using good = await app((_request, response) => void response.end());
  using broken = await app((_request, response) => void response.writeHead(503).end());
  const backoff = { minMs: 60_000, maxMs: 60_000, jitterRatio: 0 };
  const accrual = { kind: 'consecutive', maxFailures: 1, backoff };
  const endpoints = [unmeshed(good.port), unmeshed(broken.port)];
  await within(endpoints, policy([rule()], accrual), async ({ mesh, proxy }) => {
    using client = new Client(proxy);
    const counts = async (): Promise<readonly string[]> => {
      const text = await metrics(proxy);
      const lines =
        text.match(/^outbound_http_balancer_endpoints\{[^}]*parent_name="web",.*backend_name="web".*$/gm) ?? [];
      return lines.map((line) => line.replace(/^.*endpoint_state="(\w+)".*\} (\d+)$/, '$1 $2')).sort();
    };
    await client.get();
    await eventually(async () => (await counts()).join() === 'pending 0,ready 2', 'both can be used');
    while (broken.requests === 0) await client.get();
    await eventually(async () => (await counts()).join() === 'pending 1,ready 1', 'one is ejected');
    mesh.control.setEndpoints(`${SERVICE_HOST}:80`, []);
    await eventually(async () => (await counts()).join() === 'pending 0,ready 0', 'there are none');
  });
});

test('a connection that is denied on the inbound side is no error, one to a dead application is', async () => {
  await using mesh = await TestMesh.start();
  const proxy = await mesh.proxy({ name: 'web', redirectedTo: { address: '127.0.0.1', port: 1 } });
  const answer = await exchange(proxy.inboundPort, 'GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n');
  assert.match(answer.toString(), /^HTTP\/1\.1 502/);
  const target = 'target_addr="127.0.0.1:1",target_ip="127.0.0.1",target_port="1"';
  assert.ok((await metrics(proxy)).includes(`inbound_http_errors_total{error="i/o",${target}} 1\n`));
});
