import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  connect as connectHttp2,
  createServer as createHttp2Server,
  type ClientHttp2Stream,
  type ServerHttp2Stream,
} from 'node:http2';
import { connect, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { networkMatches } from '#model/authorization.ts';
import type { Proxy } from './proxy.ts';
import { exchange, listen, meshed, SERVICE_HOST, TestMesh, unmeshed } from './testing/mesh.ts';
import { RawServer } from './testing/raw-server.ts';
import { metrics, policy, rule } from './testing/routed.ts';

/** A proxy that answers CONNECT: tunnels to nowhere but itself, and no tunnel to `denied`. */
async function tunnelServer(seen: string[]): Promise<RawServer> {
  return RawServer.start((socket) => {
    let head = '';
    const onData = (bytes: Buffer): void => {
      head += bytes.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      seen.push(head.slice(0, end));
      if (head.startsWith('CONNECT denied:')) {
        head = head.slice(end + 4);
        socket.write('HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno');
        return;
      }
      socket.off('data', onData);
      // What it says about a body must not be believed.
      socket.write('HTTP/1.1 200 Connection established\r\ncontent-length: 5\r\nx-tunnel: yes\r\n\r\n');
      socket.write(Buffer.from(head.slice(end + 4), 'latin1'));
      socket.pipe(socket);
    };
    socket.on('data', onData);
  });
}

/** Through a pair of proxies, and through one to a server without; with routes and without. */
async function everyWay(port: number, run: (client: Proxy) => Promise<void>): Promise<void> {
  await using mesh = await TestMesh.start();
  // As the control plane says it of a port without policy objects.
  mesh.control.setPolicy(port, {
    ref: { type: 'default', name: 'all-unauthenticated' },
    protocol: {
      kind: 'detect',
      timeoutMs: 10_000,
      routes: [
        {
          ref: { type: 'default', name: 'default' },
          hosts: [],
          authorizations: [],
          rules: [{ matches: [{ path: { kind: 'prefix', value: '/' }, headers: [], queryParams: [] }] }],
        },
      ],
    },
    authorizations: [
      {
        ref: { type: 'default', name: 'all-unauthenticated' },
        networks: networkMatches(['0.0.0.0/0']),
        authentication: { kind: 'unauthenticated' },
      },
    ],
  });
  const server = await mesh.proxy({ name: 'web', env: { INBOUND_PORTS: String(port) } });
  const client = await mesh.proxy({ name: 'client' });
  let servicePort = 3128;
  mesh.control.setEndpoints(`${SERVICE_HOST}:80`, []); // that the opaque route of the policy names
  for (const endpoint of [meshed('web', port, server), unmeshed(port)]) {
    for (const isRouted of [true, false]) {
      servicePort += 1;
      if (isRouted) {
        const backend = { ref: { type: 'default', name: 'b' }, target: { kind: 'forward', endpoint } } as const;
        const distribution = { kind: 'first-available', backends: [{ backend, filters: [] }] } as const;
        mesh.control.setOutboundPolicy(servicePort, policy([rule({ distribution })]));
      }
      mesh.servePort(servicePort, [endpoint], false);
      await run(client);
    }
  }
}

/** Opens a tunnel. @returns the connection and the head of the answer */
async function open(proxy: Proxy, more = ''): Promise<{ socket: Socket; head: string; early: Buffer }> {
  const socket = connect({ port: proxy.outboundPort, host: '127.0.0.1', allowHalfOpen: true });
  socket.write(`CONNECT db.shop:5432 HTTP/1.1\r\nHost: db.shop:5432\r\n\r\n${more}`);
  let bytes = Buffer.alloc(0);
  while (!bytes.includes('\r\n\r\n')) bytes = Buffer.concat([bytes, ((await once(socket, 'data')) as [Buffer])[0]]);
  socket.pause();
  const end = bytes.indexOf('\r\n\r\n');
  return { socket, head: bytes.toString('latin1', 0, end), early: bytes.subarray(end + 4) };
}

test('CONNECT opens a tunnel: bytes pass both ways as they are, and each direction ends by itself', async () => {
  const seen: string[] = [];
  using app = await tunnelServer(seen);
  await everyWay(app.port, async (client) => {
    const { socket, head, early } = await open(client);
    assert.match(head, /^HTTP\/1.1 200 Connection established\r\n(?:.*\r\n)*x-tunnel: yes$/);
    assert.doesNotMatch(head, /content-length/i);
    assert.match(seen.at(-1) ?? '', /^CONNECT db\.shop:5432 HTTP\/1\.1\r\nHost: db\.shop:5432(?:\r\n|$)/);
    const sent = randomBytes(1_000_000);
    const received = buffer(socket);
    socket.end(sent);
    assert.ok(Buffer.concat([early, await received]).equals(sent));
    socket.destroy();
  });
});

test('what a client sends before its tunnel is open arrives in it', async () => {
  using app = await tunnelServer([]);
  await everyWay(app.port, async (client) => {
    const { socket, early } = await open(client, 'GET / HTTP/1.1\r\n\r\n');
    const received = buffer(socket);
    socket.end();
    assert.equal(Buffer.concat([early, await received]).toString(), 'GET / HTTP/1.1\r\n\r\n');
    socket.destroy();
  });
});

test('behind a tunnel that is refused nothing of the client is taken for a request', async () => {
  const seen: string[] = [];
  using app = await tunnelServer(seen);
  await everyWay(app.port, async (client) => {
    const count = seen.length;
    const hidden = 'GET /hidden HTTP/1.1\r\nhost: web\r\n\r\n';
    const answer = await exchange(client.outboundPort, `CONNECT denied:1 HTTP/1.1\r\nhost: denied:1\r\n\r\n${hidden}`);
    assert.match(answer.toString(), /^HTTP\/1.1 403 Forbidden\r\n(?:.*\r\n)*connection: close\r\n\r\nno$/);
    assert.equal(seen.length, count + 1);
  });
});

test('CONNECT with a body is malformed', async () => {
  const seen: string[] = [];
  using app = await tunnelServer(seen);
  await everyWay(app.port, async (client) => {
    for (const framing of ['content-length: 5', 'transfer-encoding: chunked']) {
      const answer = await exchange(
        client.outboundPort,
        `CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n${framing}\r\n\r\n0\r\n\r\n`,
      );
      assert.match(answer.toString(), /^HTTP\/1.1 400 Bad Request\r\nl5d-proxy-error: client-malformed: .*CONNECT/);
    }
  });
  assert.deepEqual(seen, []);
});

test('CONNECT over HTTP/2: a tunnel is a stream, beside others, and each direction ends by itself', async () => {
  const ended: string[] = [];
  const app = await listen(
    createHttp2Server().on('stream', (stream: ServerHttp2Stream, headers) => {
      stream.on('error', () => {});
      if (headers[':method'] !== 'CONNECT') {
        stream.respond();
        stream.end('plain');
        return;
      }
      const authority = String(headers[':authority']);
      stream.respond({ ':status': authority.startsWith('denied') ? 403 : 200, 'x-to': authority });
      if (authority.startsWith('denied')) stream.end('no');
      else if (authority.startsWith('first')) {
        let text = '';
        stream.on('data', (bytes: Buffer) => (text += bytes.toString()));
        stream.on('end', () => ended.push(text));
        stream.end('server is done');
      } else stream.pipe(stream);
    }),
  );
  await everyWay((app.address() as { port: number }).port, async (client) => {
    const session = connectHttp2(`http://127.0.0.1:${client.outboundPort}`);
    const tunnel = async (authority: string): Promise<{ stream: ClientHttp2Stream; status: unknown; to: unknown }> => {
      const stream = session.request({ ':method': 'CONNECT', ':authority': authority }, { endStream: false });
      const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
      return { stream, status: headers[':status'], to: headers['x-to'] };
    };
    const { stream, status, to } = await tunnel('db.shop:5432');
    assert.deepEqual([status, to], [200, 'db.shop:5432']);
    const plain = session.request({ ':path': '/', ':authority': 'web' });
    assert.equal((await buffer(plain)).toString(), 'plain');
    const sent = randomBytes(1_000_000);
    const received = buffer(stream);
    stream.end(sent);
    assert.ok((await received).equals(sent));

    const first = await tunnel('first:1');
    assert.equal((await buffer(first.stream)).toString(), 'server is done');
    const count = ended.length;
    first.stream.write('client ');
    first.stream.end('goes on');
    const deadline = Date.now() + 10_000;
    while (ended.length === count && Date.now() < deadline)
      await new Promise((resolve) => void setTimeout(resolve, 10));
    assert.equal(ended.at(-1), 'client goes on');

    const denied = await tunnel('denied:1');
    assert.equal(denied.status, 403);
    assert.equal((await buffer(denied.stream)).toString(), 'no');
    session.destroy();
    assert.match(await metrics(client), /response_total\{direction="outbound"[^}]*status_code="403"/);
  });
  app.close();
});

test('a first request without a path is judged like the others of its connection', async () => {
  using app = await RawServer.start((socket) => {
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'));
  });
  await everyWay(app.port, async (client) => {
    const requests = 'OPTIONS * HTTP/1.1\r\nhost: web\r\n\r\nGET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n';
    const answer = (await exchange(client.outboundPort, requests)).toString();
    assert.equal(answer.match(/HTTP\/1.1 200 OK/g)?.length, 2, answer);
  });
});
