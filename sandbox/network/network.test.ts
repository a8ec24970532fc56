import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';

import { createLogger } from '#runtime/log.ts';
import { openExemptSocket } from '#netlink/exemption.ts';
import { listLinks } from '#netlink/links.ts';
import { createNetns, inNetns } from '#netlink/namespace.ts';
import { applyTables } from '#netlink/nftables.ts';
import { originalDestination } from '#netlink/original-destination.ts';
import { redirectTables } from '#netlink/redirect.ts';
import { Netlink } from '#netlink/socket.ts';
import { openTcpListener, openTcpSocket } from '#netlink/tcp-socket.ts';
import { describeWithNamespaces } from '#netlink/testing.ts';
import { verifyTables } from '#netlink/verify.ts';
import { DNS_IP, NODE_IP } from './addresses.ts';
import { FakeApi } from './fake-api.ts';
import { PodNetworks, type PodNetwork } from './pod-network.ts';
import { ServiceIndex } from './service-index.ts';
import { frontendsOf, serviceTable } from './service-tables.ts';
import { ServiceTranslation } from './services.ts';

const limit = { timeout: 30_000 };
const SLICES = 'endpointslices.discovery.k8s.io';
const HTTP = [{ name: 'http', port: 8080, protocol: 'TCP' }];

describeWithNamespaces(import.meta.filename, () => {
  const node = createNetns();
  const { networks, api, index, services } = inNetns(node, () => {
    const networks = new PodNetworks([DNS_IP]);
    const api = new FakeApi();
    const index = new ServiceIndex(api);
    return { networks, api, index, services: new ServiceTranslation(index, [DNS_IP], createLogger('test', 'warn')) };
  });
  const servers: Server[] = [];
  /** A pod whose servers say who they are and who asks. */
  const pod = (name: string, ports: readonly number[] = []): PodNetwork => {
    const network = networks.create(name);
    for (const port of ports) listen(network.netns, port, (socket) => `${name} ${port} from ${plain(socket)}`);
    return network;
  };
  const listen = (netns: number, port: number, reply: (socket: Socket) => string): void => {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {}).write(reply(socket));
      socket.on('data', (data) => socket.write(data)).on('end', () => socket.end());
    });
    servers.push(inNetns(netns, () => server.listen(port)));
  };
  const open = async (netns: number, host: string, port: number): Promise<Socket> => {
    const socket = inNetns(netns, () => openTcpSocket(false)).connect({ host, port });
    await once(socket, 'connect');
    return socket;
  };
  const ask = async (netns: number, host: string, port: number): Promise<string> =>
    text((await open(netns, host, port)).end());

  const one = pod('one', [8080, 80]);
  const two = pod('two', [8080]);
  const client = pod('client');
  listen(node, 6443, (socket) => `node from ${plain(socket)}`);
  after(() => {
    for (const server of servers) server.close();
    services[Symbol.dispose]();
    index[Symbol.dispose]();
    networks[Symbol.dispose]();
    closeSync(node);
  });

  test('pods reach each other, themselves and the node, under their own addresses', limit, async () => {
    assert.equal(await ask(client.netns, one.ip, 8080), `one 8080 from ${client.ip}`);
    assert.equal(await ask(two.netns, one.ip, 80), `one 80 from ${two.ip}`);
    assert.equal(await ask(one.netns, one.ip, 8080), `one 8080 from ${one.ip}`);
    assert.equal(await ask(one.netns, '127.0.0.1', 8080), 'one 8080 from 127.0.0.1');
    assert.equal(await ask(one.netns, NODE_IP, 6443), `node from ${one.ip}`);
    assert.equal(await ask(node, one.ip, 8080), `one 8080 from ${NODE_IP}`);
  });

  test('an address without a pod is refused at once', limit, async () => {
    await assert.rejects(ask(client.netns, '10.42.200.200', 80), { code: 'ENETUNREACH' });
    await assert.rejects(ask(node, '10.42.200.200', 80), { code: 'ENETUNREACH' });
  });

  test('a process is put into a pod by spawning it there, or by path', limit, async () => {
    const code = `console.log(require('node:os').networkInterfaces().eth0[0].address)`;
    const inside = inNetns(one.netns, () => spawn(process.execPath, ['-e', code]));
    assert.equal(await text(inside.stdout), `${one.ip}\n`);
    const byPath = spawn('nsenter', [`--net=${two.netnsPath}`, process.execPath, '-e', code]);
    const [said, errors] = await Promise.all([text(byPath.stdout), text(byPath.stderr)]);
    assert.equal(said, `${two.ip}\n`, errors);
  });

  test('a Service spreads connections over its endpoints, from pods and from the node', limit, async () => {
    api.service('shop', 'web', { clusterIP: '10.96.1.1', ports: [{ name: 'http', port: 80, protocol: 'TCP' }] });
    api.slice('shop', 'web', [one.ip, two.ip], HTTP);
    services.flush();
    for (const [netns, from] of [
      [client.netns, client.ip],
      [node, NODE_IP],
    ] as const) {
      const answers = new Set<string>();
      for (let count = 0; count < 40; count += 1) answers.add(await ask(netns, '10.96.1.1', 80));
      assert.deepEqual([...answers].sort(), [`one 8080 from ${from}`, `two 8080 from ${from}`]);
    }
  });

  test('a pod reaches itself through its Service', limit, async () => {
    api.service('shop', 'self', { clusterIP: '10.96.1.2', ports: [{ name: 'http', port: 80, protocol: 'TCP' }] });
    api.slice('shop', 'self', [one.ip], HTTP);
    services.flush();
    for (let count = 0; count < 5; count += 1) {
      assert.equal(await ask(one.netns, '10.96.1.2', 80), `one 8080 from ${NODE_IP}`);
    }
  });

  test("a program of the node can be an endpoint, and a node port is served at the node's address", limit, async () => {
    api.service('default', 'kubernetes', {
      clusterIP: '10.96.0.1',
      ports: [{ name: 'https', port: 443, protocol: 'TCP' }],
    });
    api.slice('default', 'kubernetes', [NODE_IP], [{ name: 'https', port: 6443, protocol: 'TCP' }]);
    api.service('shop', 'np', { clusterIP: '10.96.1.9', ports: [{ port: 80, protocol: 'TCP', nodePort: 30080 }] });
    api.slice('shop', 'np', [two.ip], [{ name: '', port: 8080, protocol: 'TCP' }]);
    services.flush();
    assert.equal(await ask(client.netns, '10.96.0.1', 443), `node from ${client.ip}`);
    assert.equal(await ask(node, '10.96.0.1', 443), `node from ${NODE_IP}`);
    assert.equal(await ask(client.netns, NODE_IP, 30080), `two 8080 from ${client.ip}`);
    assert.equal(await ask(node, NODE_IP, 30080), `two 8080 from ${NODE_IP}`);
  });

  test('an external address of a Service leads to its endpoints, wherever it is', limit, async () => {
    api.service('shop', 'out', {
      clusterIP: '10.96.1.10',
      externalIPs: ['203.0.113.7', 'fd00::1', 7],
      ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
    });
    api.slice('shop', 'out', [two.ip], HTTP);
    services.flush();
    assert.equal(await ask(client.netns, '203.0.113.7', 80), `two 8080 from ${client.ip}`);
    assert.equal(await ask(client.netns, '10.96.1.10', 80), `two 8080 from ${client.ip}`);
  });

  test('a Service without endpoints refuses at once, and serves when it gets some', limit, async () => {
    api.service('shop', 'late', { clusterIP: '10.96.1.3', ports: [{ name: 'http', port: 80, protocol: 'TCP' }] });
    api.slice('shop', 'late', [{ addresses: [one.ip], conditions: { ready: false } }], HTTP);
    services.flush();
    for (const netns of [client.netns, node]) {
      const startedAtMs = performance.now();
      await assert.rejects(ask(netns, '10.96.1.3', 80), { code: 'ECONNREFUSED' });
      await assert.rejects(ask(netns, '10.96.1.3', 81), { code: 'ECONNREFUSED' }, 'a port that the Service lacks');
      await assert.rejects(ask(netns, '10.96.77.77', 80), { code: 'ECONNREFUSED' }, 'an address that no Service has');
      assert.ok(performance.now() - startedAtMs < 1000);
    }
    api.slice('shop', 'late', [one.ip], HTTP);
    services.flush();
    assert.equal(await ask(client.netns, '10.96.1.3', 80), `one 8080 from ${client.ip}`);
  });

  test('an address in the Service range that the node listens on itself stays reachable', limit, async () => {
    const fd = inNetns(node, () => openTcpListener(DNS_IP, 53));
    const server = createServer((socket) => socket.end('dns')).listen({ fd });
    assert.equal(await ask(client.netns, DNS_IP, 53), 'dns');
    assert.equal(await ask(node, DNS_IP, 53), 'dns');
    server.close();
  });

  test('UDP goes through Services too', limit, async () => {
    const serve = `require('node:dgram').createSocket('udp4').on('message', function (m, r) { this.send('re ' + m, r.port, r.address) }).bind(5300, () => console.log('up'))`;
    const server = inNetns(two.netns, () => spawn(process.execPath, ['-e', serve]));
    await once(server.stdout, 'data');
    api.service('shop', 'udp', { clusterIP: '10.96.1.4', ports: [{ name: 'u', port: 53, protocol: 'UDP' }] });
    api.slice('shop', 'udp', [two.ip], [{ name: 'u', port: 5300, protocol: 'UDP' }]);
    services.flush();
    const query = `const s = require('node:dgram').createSocket('udp4'); s.on('message', (m, r) => { console.log(String(m), r.address, r.port); s.close() }); s.send('hello', 53, '10.96.1.4')`;
    const asking = inNetns(client.netns, () => spawn(process.execPath, ['-e', query]));
    assert.equal(await text(asking.stdout), 're hello 10.96.1.4 53\n');
    server.kill('SIGKILL');
  });

  test('endpoints that shut down serve on while nothing else is ready', limit, async () => {
    const leaving = { addresses: [one.ip], conditions: { ready: false, serving: true, terminating: true } };
    api.service('shop', 'roll', { clusterIP: '10.96.1.5', ports: [{ name: 'http', port: 80, protocol: 'TCP' }] });
    api.slice('shop', 'roll', [leaving], HTTP);
    services.flush();
    assert.equal(await ask(client.netns, '10.96.1.5', 80), `one 8080 from ${client.ip}`);
    api.slice('shop', 'roll', [two.ip], HTTP, 'roll-b');
    services.flush();
    for (let count = 0; count < 10; count += 1) {
      assert.equal(await ask(client.netns, '10.96.1.5', 80), `two 8080 from ${client.ip}`);
    }
    api.delete(SLICES, 'shop', 'roll-b');
    api.delete('services', 'shop', 'roll');
    services.flush();
    await assert.rejects(ask(client.netns, '10.96.1.5', 80), { code: 'ECONNREFUSED' });
  });

  test('hundreds of Services are in force quickly, and changes keep every connection', limit, async (t) => {
    for (let n = 0; n < 300; n += 1) {
      const clusterIP = `10.96.${20 + (n >> 7)}.${1 + (n & 127)}`;
      api.service('many', `s${n}`, { clusterIP, ports: [{ name: 'http', port: 80, protocol: 'TCP' }] });
      api.slice('many', `s${n}`, [one.ip, two.ip, `10.42.9.${1 + (n % 200)}`].slice(n % 2), HTTP);
    }
    services.flush();
    using netfilter = new Netlink('netfilter', node);
    assert.deepEqual(verifyTables(netfilter, [serviceTable(frontendsOf(index), [DNS_IP])]), []);
    const held = await open(client.netns, '10.96.1.1', 80);
    await once(held, 'data');
    const times: number[] = [];
    for (let round = 0; round < 40; round += 1) {
      api.slice('many', 's0', round % 2 === 0 ? [one.ip] : [one.ip, two.ip], HTTP);
      const startedAtMs = performance.now();
      services.flush();
      times.push(performance.now() - startedAtMs);
      held.write('x');
      assert.equal(String((await once(held, 'data'))[0]), 'x');
      assert.match(await ask(client.netns, '10.96.20.1', 80), /^(one|two) 8080/);
    }
    held.destroy();
    times.sort((a, b) => a - b);
    t.diagnostic(
      `300 Services: replaced in ${times[20]?.toFixed(1)} ms (median), ${times.at(-1)?.toFixed(1)} ms (most)`,
    );
    for (let n = 0; n < 300; n += 1) {
      api.delete(SLICES, 'many', `s${n}-a`);
      api.delete('services', 'many', `s${n}`);
    }
  });

  test(
    "a redirected pod's proxy learns the Service address outwards and the pod's address inwards",
    limit,
    async () => {
      const meshed = networks.create('meshed');
      const exempt = { kind: 'priority', priority: 5 } as const;
      using netfilter = new Netlink('netfilter', meshed.netns);
      const noSkips = { inboundSkip: [], outboundSkip: [], subnetSkip: [] };
      applyTables(
        netfilter,
        redirectTables({ inboundPort: 4143, outboundPort: 4140, exemption: exempt, isSynOnly: false, ...noSkips }),
      );
      for (const port of [4140, 4143]) listen(meshed.netns, port, (socket) => `${port} for ${destinationOf(socket)}`);
      assert.equal(await ask(meshed.netns, '10.96.1.1', 80), '4140 for 10.96.1.1 80');
      assert.equal(await ask(meshed.netns, two.ip, 8080), `4140 for ${two.ip} 8080`);
      assert.equal(await ask(client.netns, meshed.ip, 9999), `4143 for ${meshed.ip} 9999`);
      const own = inNetns(meshed.netns, () => openExemptSocket(exempt, false)).connect({ host: '10.96.1.2', port: 80 });
      await once(own, 'connect');
      assert.equal(await text(own.end()), `one 8080 from ${meshed.ip}`);
      networks.remove('meshed');
    },
  );

  test('changes are applied without being asked for', limit, async () => {
    api.service('shop', 'soon', { clusterIP: '10.96.1.6', ports: [{ name: 'http', port: 80, protocol: 'TCP' }] });
    api.slice('shop', 'soon', [one.ip], HTTP);
    await eventually('the Service answers', async () => {
      const answer = await ask(client.netns, '10.96.1.6', 80).catch(String);
      return answer === `one 8080 from ${client.ip}`;
    });
  });

  test('removing a pod takes its link, and another pod gets another address', limit, async () => {
    using netlink = new Netlink('route', node);
    const names = (): string[] => listLinks(netlink).map(({ name }) => name);
    const before = new Set(names());
    const gone = networks.create('gone');
    assert.equal(networks.create('gone'), gone, 'creating twice gives the same network');
    const link = names().find((name) => !before.has(name));
    assert.ok(link !== undefined);
    const leftover = inNetns(gone.netns, () => spawn('sleep', ['60']));
    try {
      networks.remove('gone');
      networks.remove('gone');
      await assert.rejects(ask(client.netns, gone.ip, 80), { code: 'ENETUNREACH' });
      assert.ok(!existsSync(gone.netnsPath));
      await eventually('the link is removed although a process is left', () => !names().includes(link));
    } finally {
      leftover.kill('SIGKILL');
    }
    const next = networks.create('next');
    assert.notEqual(next.ip, gone.ip);
    networks.remove('next');
  });
});

async function eventually(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await isTrue())) {
    assert.ok(Date.now() < deadline, `not within 10 s: ${what}`);
    await delay(5);
  }
}

function destinationOf(socket: Socket): string {
  const { _handle: handle } = socket as Socket & { readonly _handle: { readonly fd: number } };
  const original = originalDestination(handle.fd, false);
  return original === undefined ? 'none' : `${original.address} ${original.port}`;
}

function plain(socket: Socket): string {
  return (socket.remoteAddress ?? '').replace('::ffff:', '');
}
