import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';

import { createLogger } from '#runtime/log.ts';
import { encodeResponse, nameOf, parseQuery, RCODE, TYPE, type Query } from './dns-message.ts';
import { DnsServer } from './dns.ts';
import { DnsZone } from './dns-zone.ts';
import { FakeApi } from './fake-api.ts';
import { ServiceIndex } from './service-index.ts';
import { seededRandom } from '../../test/harness/random.ts';

const limit = { timeout: 20_000 };
const log = createLogger('test', 'warn');
const api = new FakeApi();
const index = new ServiceIndex(api);
const server = await DnsServer.start(index, { address: '127.0.0.1', port: 0, log });
const resolver = new Resolver({ timeout: 2000, tries: 1 });
resolver.setServers([`127.0.0.1:${server.port}`]);
after(() => server[Symbol.asyncDispose]());

const http = { name: 'http', port: 80, protocol: 'TCP' };
api.service('shop', 'web', { clusterIP: '10.96.3.4', ports: [http, { name: 'dns', port: 53, protocol: 'UDP' }] });
api.slice('shop', 'web', ['10.42.0.5'], [{ ...http, port: 8080 }]);
api.service('shop', 'db', { clusterIP: 'None', ports: [http] });
api.slice(
  'shop',
  'db',
  [
    { addresses: ['10.42.0.7'], hostname: 'db-0', conditions: { ready: true } },
    { addresses: ['10.42.0.8'], hostname: 'db-1', conditions: {} },
    { addresses: ['10.42.0.9'], hostname: 'db-2', conditions: { ready: false } },
    '10.42.0.10',
  ],
  [{ ...http, port: 5432 }],
);
api.service('shop', 'empty', { clusterIP: 'None', ports: [http] });
api.service('shop', 'alias', { type: 'ExternalName', externalName: 'web.shop.svc.cluster.local' });
api.service('shop', 'away', { type: 'ExternalName', externalName: 'example.org' });
api.service('shop', 'loop', { type: 'ExternalName', externalName: 'loop.shop.svc.cluster.local' });

const SVC = 'svc.cluster.local';

test('a Service has its cluster IP, whatever the case of the letters', limit, async () => {
  assert.deepEqual(await resolver.resolve4(`web.shop.${SVC}`), ['10.96.3.4']);
  assert.deepEqual(await resolver.resolve4(`WEB.Shop.${SVC.toUpperCase()}.`), ['10.96.3.4']);
  assert.deepEqual(await resolver.resolve4(`alias.shop.${SVC}`), ['10.96.3.4'], 'ExternalName inside the cluster');
});

test('a headless Service has the addresses of what is ready, and none does not exist', limit, async () => {
  assert.deepEqual((await resolver.resolve4(`db.shop.${SVC}`)).sort(), ['10.42.0.10', '10.42.0.7', '10.42.0.8']);
  assert.deepEqual(await resolver.resolve4(`db-1.db.shop.${SVC}`), ['10.42.0.8']);
  assert.deepEqual(await resolver.resolve4(`10-42-0-10.db.shop.${SVC}`), ['10.42.0.10']);
  await assert.rejects(resolver.resolve4(`db-2.db.shop.${SVC}`), { code: 'ENOTFOUND' });
  await assert.rejects(resolver.resolve4(`empty.shop.${SVC}`), { code: 'ENOTFOUND' });
});

test('named ports have SRV records', limit, async () => {
  const [own] = await resolver.resolveSrv(`_http._tcp.web.shop.${SVC}`);
  assert.deepEqual(
    { ...own, type: undefined },
    { name: `web.shop.${SVC}`, port: 80, priority: 0, weight: 100, type: undefined },
  );
  const all = await resolver.resolveSrv(`_http._tcp.db.shop.${SVC}`);
  assert.deepEqual(all.map(({ name, port }) => `${name} ${port}`).sort(), [
    `10-42-0-10.db.shop.${SVC} 5432`,
    `db-0.db.shop.${SVC} 5432`,
    `db-1.db.shop.${SVC} 5432`,
  ]);
  await assert.rejects(resolver.resolveSrv(`_http._udp.web.shop.${SVC}`), { code: 'ENOTFOUND' });
});

test('addresses have names', limit, async () => {
  assert.deepEqual(await resolver.reverse('10.96.3.4'), [`web.shop.${SVC}`]);
  assert.deepEqual(await resolver.reverse('10.42.0.7'), [`db-0.db.shop.${SVC}`]);
  assert.deepEqual(await resolver.reverse('10.42.0.5'), [`10-42-0-5.web.shop.${SVC}`]);
  await assert.rejects(resolver.reverse('10.42.0.99'), { code: 'ENOTFOUND' });
});

test('names that exist without the type asked for have no data; others do not exist', limit, async () => {
  for (const name of [`web.shop.${SVC}`, `db.shop.${SVC}`])
    await assert.rejects(resolver.resolve6(name), { code: 'ENODATA' });
  for (const name of [`shop.${SVC}`, SVC, 'cluster.local', `_tcp.web.shop.${SVC}`]) {
    await assert.rejects(resolver.resolve4(name), { code: 'ENODATA' });
  }
  for (const name of [
    `x.shop.${SVC}`,
    `nowhere.${SVC}`,
    `a.b.c.web.shop.${SVC}`,
    'other.cluster.local',
    'example.org',
  ]) {
    await assert.rejects(resolver.resolve4(name), { code: 'ENOTFOUND' });
  }
});

test('aliases to the outside and in circles end', limit, async () => {
  assert.deepEqual(await resolver.resolveCname(`away.shop.${SVC}`), ['example.org']);
  assert.deepEqual(await resolver.resolve4(`away.shop.${SVC}`), [], 'the alias alone');
  assert.deepEqual(await resolver.resolve4(`loop.shop.${SVC}`), []);
});

test('pods have names made of their addresses, and the specification has its version', limit, async () => {
  assert.deepEqual(await resolver.resolve4('10-42-0-5.shop.pod.cluster.local'), ['10.42.0.5']);
  await assert.rejects(resolver.resolve4('10-42-0.shop.pod.cluster.local'), { code: 'ENOTFOUND' });
  assert.deepEqual(await resolver.resolveTxt('dns-version.cluster.local'), [['1.1.0']]);
});

test('changes are seen by the next question', limit, async () => {
  api.service('shop', 'new', { clusterIP: '10.96.9.9', ports: [http] });
  assert.deepEqual(await resolver.resolve4(`new.shop.${SVC}`), ['10.96.9.9']);
  assert.deepEqual(await resolver.reverse('10.96.9.9'), [`new.shop.${SVC}`]);
  api.delete('services', 'shop', 'new');
  await assert.rejects(resolver.resolve4(`new.shop.${SVC}`), { code: 'ENOTFOUND' });
  await assert.rejects(resolver.reverse('10.96.9.9'), { code: 'ENOTFOUND' });
});

test('an answer that is too long for UDP comes by TCP', limit, async () => {
  const many = Array.from({ length: 200 }, (_, n) => `10.42.7.${n + 1}`);
  api.service('shop', 'many', { clusterIP: 'None', ports: [http] });
  api.slice('shop', 'many', many, [http]);
  assert.equal((await resolver.resolve4(`many.shop.${SVC}`)).length, 200);
  const [first] = await askUdp(query(`many.shop.${SVC}`, TYPE.a));
  assert.equal(
    first?.readUInt16BE(2) === undefined ? 0 : first.readUInt16BE(2) & 0x0200,
    0x0200,
    'marked as truncated',
  );
});

test('names outside are forwarded only when configured', limit, async () => {
  const asked: string[] = [];
  const forward = (bytes: Buffer): Promise<Buffer> => {
    const parsed = parseQuery(bytes);
    assert.ok(parsed.kind === 'query');
    asked.push(parsed.query.name.join('.'));
    if (parsed.query.name[0] === 'broken') return Promise.reject(new Error('unreachable'));
    const answers = [{ name: parsed.query.name, ttlSeconds: 1, type: 'A', address: '192.0.2.1' } as const];
    const response = { code: RCODE.ok, isAuthoritative: false, answers, authority: [], additional: [] };
    return Promise.resolve(encodeResponse(parsed.query, response, 'udp'));
  };
  await using other = await DnsServer.start(index, { address: '127.0.0.1', port: 0, log, forward });
  const client = new Resolver({ timeout: 2000, tries: 1 });
  client.setServers([`127.0.0.1:${other.port}`]);
  assert.deepEqual(await client.resolve4('example.org'), ['192.0.2.1']);
  await assert.rejects(client.resolve4('broken.example.org'), { code: 'ESERVFAIL' });
  assert.deepEqual(await client.resolve4(`web.shop.${SVC}`), ['10.96.3.4']);
  assert.deepEqual(asked, ['example.org', 'broken.example.org']);
});

test('questions that are not understood get a code, answers get nothing', limit, async () => {
  const good = query(`web.shop.${SVC}`, TYPE.a);
  const code = (bytes: Buffer): number | undefined => {
    const parsed = parseQuery(bytes);
    return parsed.kind === 'fail' ? parsed.response.readUInt16BE(2) & 0xf : undefined;
  };
  assert.equal(code(patched(good, 2, 0x28)), RCODE.notImp, 'opcode update');
  assert.equal(code(patched(good, 5, 2)), RCODE.formErr, 'two questions');
  assert.equal(code(patched(good, 12, 0xc0)), RCODE.formErr, 'compressed question');
  assert.equal(code(good.subarray(0, -1)), RCODE.formErr, 'cut');
  assert.equal(code(patched(good, good.length - 1, 3)), RCODE.refused, 'class chaos');
  assert.equal(code(patched(good, 11, 1)), RCODE.formErr, 'an additional record that is not there');
  assert.deepEqual(parseQuery(patched(good, 2, 0x80)), { kind: 'ignore' });
  assert.deepEqual(parseQuery(good.subarray(0, 11)), { kind: 'ignore' });
  const [refused] = await askUdp(query('cluster.local', TYPE.axfr));
  assert.equal((refused?.readUInt16BE(2) ?? 0) & 0xf, RCODE.refused);
});

test('EDNS is answered in kind, its unknown versions are refused', limit, async () => {
  const opt = (version: number): Buffer => Buffer.from([0, 0, 41, 0x04, 0xd0, 0, version, 0, 0, 0, 0]);
  const ask = (version: number): Buffer =>
    Buffer.concat([patched(query(`web.shop.${SVC}`, TYPE.a), 11, 1), opt(version)]);
  const [fine] = await askUdp(ask(0));
  assert.equal(fine?.readUInt16BE(10), 1, 'one additional record');
  const [bad] = await askUdp(ask(1));
  assert.equal((bad?.readUInt16BE(2) ?? 0) & 0xf, RCODE.badVersion & 0xf);
  assert.equal(bad?.[12 + 5], RCODE.badVersion >> 4);
});

test('several questions on one TCP connection are answered in order, a huge one ends it', limit, async () => {
  const framed = (bytes: Buffer): Buffer =>
    Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
  const socket = connect(server.port, '127.0.0.1');
  const both = Buffer.concat([query(`web.shop.${SVC}`, TYPE.a, 1), query(`x.shop.${SVC}`, TYPE.a, 2)].map(framed));
  for (const byte of both) socket.write(Buffer.of(byte));
  socket.end(Buffer.from([0xff, 0xff]));
  const parts: Buffer[] = [];
  for await (const part of socket) parts.push(part as Buffer);
  const all = Buffer.concat(parts);
  const second = all.subarray(2 + all.readUInt16BE(0));
  assert.deepEqual([all.readUInt16BE(2), second.readUInt16BE(2)], [1, 2]);
  assert.equal(second.length, 2 + second.readUInt16BE(0));
});

test('a port that is taken is an error of starting', limit, async () => {
  await assert.rejects(DnsServer.start(index, { address: '127.0.0.1', port: server.port, log }), {
    code: 'EADDRINUSE',
  });
});

test('no bytes make the parser or the zone throw or answer beyond their limits', limit, (t) => {
  const seed = Number(process.env['FUZZ_SEED'] ?? randomInt(2 ** 31));
  t.diagnostic(`FUZZ_SEED=${seed}`);
  const random = seededRandom(seed);
  const zone = new DnsZone(index, 'cluster.local', random);
  const names = [
    `web.shop.${SVC}`,
    `_http._tcp.db.shop.${SVC}`,
    `loop.shop.${SVC}`,
    '4.3.96.10.in-addr.arpa',
    '',
    `many.shop.${SVC}`,
  ];
  const samples = names.flatMap((name) =>
    [TYPE.a, TYPE.srv, TYPE.any, TYPE.ptr, TYPE.aaaa].map((type) => query(name, type)),
  );
  let understood = 0;
  for (let round = 0; round < 30_000; round += 1) {
    const parsed = parseQuery(mutated(samples[Math.floor(random() * samples.length)] ?? Buffer.alloc(0), random));
    if (parsed.kind === 'fail') assert.ok(parsed.response.length <= 23);
    if (parsed.kind !== 'query') continue;
    understood += 1;
    checkResponses(zone, parsed.query);
  }
  assert.ok(understood > 1000, `only ${understood} of the mutated queries were understood`);
});

test('garbage by UDP and TCP leaves the server answering', limit, async () => {
  const random = seededRandom(7);
  const socket = createSocket('udp4');
  for (let count = 0; count < 200; count += 1) {
    socket.send(
      Buffer.from(Array.from({ length: Math.floor(random() * 60) }, () => random() * 256)),
      server.port,
      '127.0.0.1',
    );
  }
  for (let count = 0; count < 20; count += 1) {
    const tcp = connect(server.port, '127.0.0.1').on('error', () => {});
    tcp.end(Buffer.from(Array.from({ length: 300 }, () => random() * 256)));
    await text(tcp).catch(() => {});
  }
  socket.close();
  assert.deepEqual(await resolver.resolve4(`web.shop.${SVC}`), ['10.96.3.4']);
});

function checkResponses(zone: DnsZone, asked: Query): void {
  const response = zone.response(asked.name, asked.type);
  if (response === undefined) return;
  const udp = encodeResponse(asked, response, 'udp');
  assert.ok(udp.length <= Math.max(512, Math.min(1232, asked.edns?.payloadBytes ?? 512)));
  assert.ok(encodeResponse(asked, response, 'tcp').length <= 65_535);
  assert.equal(udp.readUInt16BE(0), asked.id);
}

function query(name: string, type: number, id = 4711): Buffer {
  const labels = nameOf(name).map((label) => Buffer.concat([Buffer.of(label.length), Buffer.from(label)]));
  const header = Buffer.from([id >> 8, id & 0xff, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([header, ...labels, Buffer.of(0, 0, type, 0, 1)]);
}

function patched(bytes: Buffer, offset: number, value: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[offset] = value;
  return copy;
}

function mutated(bytes: Buffer, random: () => number): Buffer {
  const copy = Buffer.from(bytes);
  for (let count = Math.floor(random() * 4); count > 0; count -= 1)
    copy[Math.floor(random() * copy.length)] = random() * 256;
  if (random() < 0.2) return copy.subarray(0, Math.floor(random() * copy.length));
  if (random() < 0.2) return Buffer.concat([copy, Buffer.from(Array.from({ length: 20 }, () => random() * 256))]);
  return copy;
}

async function askUdp(bytes: Buffer): Promise<Buffer[]> {
  const socket = createSocket('udp4');
  socket.send(bytes, server.port, '127.0.0.1');
  const [response] = (await once(socket, 'message')) as [Buffer];
  socket.close();
  return [response];
}
