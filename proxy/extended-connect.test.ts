import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import {
  connect,
  createServer,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type Http2Server,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
  type ServerHttp2Stream,
} from 'node:http2';
import { buffer, text } from 'node:stream/consumers';
import { test } from 'node:test';
import { networkMatches } from '#model/authorization.ts';
import type { Proxy } from './proxy.ts';
import { eventually, exchange, identityOf, listen, meshed, TestApp, TestMesh, unmeshed } from './testing/mesh.ts';

/** A server of HTTP/2 that answers an extended CONNECT to `/no` with 403 and echoes others. */
class EchoServer implements Disposable {
  readonly #server: Http2Server;
  /** Heads so far. */
  readonly seen: IncomingHttpHeaders[] = [];
  readonly ended: string[] = []; // what each stream to `/first` got

  private constructor(enableConnectProtocol: boolean) {
    this.#server = createServer({ settings: { enableConnectProtocol } });
    this.#server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      stream.on('error', () => {});
      this.seen.push(headers);
      const path = headers[':path'];
      if (headers[':method'] !== 'CONNECT') {
        stream.respond();
        stream.end('plain');
      } else if (path === '/no') {
        stream.respond({ ':status': 403 });
        stream.end('no');
      } else if (path === '/first') {
        stream.respond({ ':status': 200 });
        stream.end('server is done');
        void text(stream).then((all) => this.ended.push(all));
      } else {
        stream.respond({ ':status': 200, 'sec-websocket-protocol': 'chat' });
        stream.pipe(stream);
      }
    });
  }

  static async start(enableConnectProtocol = true): Promise<EchoServer> {
    const echo = new EchoServer(enableConnectProtocol);
    await listen(echo.#server);
    return echo;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  [Symbol.dispose](): void {
    this.#server.close();
  }
}

/** A client of a proxy that has read its SETTINGS. */
class Client implements Disposable {
  readonly session: ClientHttp2Session;

  private constructor(session: ClientHttp2Session) {
    this.session = session;
    session.on('error', () => {});
  }

  static async connect(port: number): Promise<Client> {
    const client = new Client(connect(`http://127.0.0.1:${port}`));
    await once(client.session, 'remoteSettings');
    return client;
  }

  async open(path: string): Promise<{
    readonly stream: ClientHttp2Stream;
    readonly headers: IncomingHttpHeaders & IncomingHttpStatusHeader;
  }> {
    const head = { ':method': 'CONNECT', ':protocol': 'websocket', ':path': path, ':authority': 'web' };
    const stream = this.session.request({ ...head, 'sec-websocket-version': '13' }, { endStream: false });
    const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders & IncomingHttpStatusHeader];
    return { stream, headers };
  }

  get(path: string): Promise<string> {
    return text(this.session.request({ ':path': path, ':authority': 'web' }));
  }

  [Symbol.dispose](): void {
    this.session.destroy();
  }
}

/** Through a pair of proxies, and through one to a server without. */
async function everyWay(port: number, run: (client: Client, isPair: boolean) => Promise<void>): Promise<void> {
  await using mesh = await TestMesh.start();
  const server = await mesh.proxy({ name: 'web' });
  const proxy = await mesh.proxy({ name: 'client' });
  for (const [servicePort, endpoint] of [
    [91, meshed('web', port, server)],
    [92, unmeshed(port)],
  ] as const) {
    mesh.servePort(servicePort, [endpoint], false);
    using client = await Client.connect(proxy.outboundPort);
    await run(client, servicePort === 91);
  }
}

test('a WebSocket over HTTP/2 is a stream, beside others, to the path that it names', async () => {
  using app = await EchoServer.start();
  await everyWay(app.port, async (client, isPair) => {
    assert.equal(client.session.remoteSettings.enableConnectProtocol, true);
    const { stream, headers } = await client.open('/chat?room=1');
    assert.deepEqual([headers[':status'], headers['sec-websocket-protocol']], [200, 'chat']);
    assert.equal(headers['l5d-proxy-error'], undefined);
    const seen = app.seen.at(-1);
    assert.deepEqual(
      [':method', ':protocol', ':scheme', ':authority', ':path', 'sec-websocket-version', 'l5d-client-id'].map(
        (name) => seen?.[name],
      ),
      ['CONNECT', 'websocket', 'http', 'web', '/chat?room=1', '13', isPair ? identityOf('client') : undefined],
    );
    assert.equal(await client.get('/'), 'plain');
    const sent = randomBytes(1_000_000);
    const received = buffer(stream);
    stream.end(sent);
    assert.ok((await received).equals(sent));

    const first = await client.open('/first');
    assert.equal(await text(first.stream), 'server is done');
    first.stream.end('client goes on');
    await eventually(() => app.ended.splice(0).includes('client goes on'), 'what follows the end of the server');

    const no = await client.open('/no');
    assert.deepEqual([no.headers[':status'], await text(no.stream)], [403, 'no']);
  });
});

test('many WebSockets share the connection between the proxies, and end with their streams', async () => {
  using app = await EchoServer.start();
  await everyWay(app.port, async (client) => {
    const opened = await Promise.all(Array.from({ length: 50 }, (_, n) => client.open(`/${n}`)));
    const echoed = opened.map(async ({ stream }, n) => {
      stream.end(String(n));
      return text(stream);
    });
    assert.deepEqual(
      await Promise.all(echoed),
      opened.map((_, n) => String(n)),
    );
    const cut = await client.open('/cut');
    cut.stream.close(8);
    await once(cut.stream, 'close');
    assert.equal(await client.get('/'), 'plain');
  });
});

test('where the application announces no extended CONNECT the answer says so, and it sees nothing', async () => {
  using app = await EchoServer.start(false);
  await everyWay(app.port, async (client) => {
    const { stream, headers } = await client.open('/chat');
    assert.equal(headers[':status'], 501);
    assert.match(
      String(headers['l5d-proxy-error']),
      /^protocol-unsupported: websocket over HTTP\/2: the endpoint does not announce extended CONNECT/,
    );
    stream.destroy();
    assert.equal(await client.get('/'), 'plain');
    assert.ok(app.seen.every((seen) => seen[':method'] === 'GET'));
  });
});

test('an application of HTTP/1 gets no WebSocket over HTTP/2', async () => {
  using app = await TestApp.start(createHttpServer((_request, response) => response.end('ok')));
  await everyWay(app.port, async (client) => {
    const { stream, headers } = await client.open('/chat');
    assert.equal(headers[':status'], 502);
    // Through a pair the client's proxy has asked again; what becomes of the first attempt is not the outcome.
    assert.match(String(headers['l5d-proxy-error']), /^(?:connect-failed: at the endpoint: )?http2-refused: /);
    stream.destroy();
    assert.equal(app.requests, 0);
  });
});

test('routes of a port see the path of a WebSocket over HTTP/2', async () => {
  using app = await EchoServer.start();
  await using mesh = await TestMesh.start();
  const authorization = (name: string, network: string) =>
    ({
      ref: { type: 'default', name },
      networks: networkMatches([network]),
      authentication: { kind: 'unauthenticated' },
    }) as const;
  const route = (name: string, path: string, network: string) =>
    ({
      ref: { type: 'resource', group: 'policy.linkerd.io', kind: 'HTTPRoute', name },
      hosts: [],
      authorizations: [authorization(name, network)],
      rules: [{ matches: [{ path: { kind: 'prefix', value: path }, headers: [], queryParams: [] }] }],
    }) as const;
  mesh.control.setPolicy(app.port, {
    ref: { type: 'resource', group: 'policy.linkerd.io', kind: 'server', name: 'web' },
    protocol: {
      kind: 'http2',
      routes: [route('chat', '/chat', '127.0.0.9/32'), route('admin', '/admin', '10.0.0.0/8')],
    },
    authorizations: [],
  });
  const redirectedTo = { address: '127.0.0.1', port: app.port };
  const inbound: Proxy = await mesh.proxy({ name: 'web', redirectedTo, env: { INBOUND_PORTS: String(app.port) } });
  const from = async (path: string): Promise<[number | undefined, string]> => {
    const session = connect(`http://127.0.0.1:${inbound.inboundPort}`, { localAddress: '127.0.0.9' } as object);
    session.on('error', () => {});
    await once(session, 'remoteSettings');
    const head = { ':method': 'CONNECT', ':protocol': 'websocket', ':path': path, ':authority': 'web' };
    const stream = session.request(head, { endStream: false });
    const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders & IncomingHttpStatusHeader];
    session.destroy();
    return [headers[':status'], String(headers['l5d-proxy-error'])];
  };
  await eventually(async () => (await from('/chat'))[0] === 200 && (await from('/'))[0] === 404, 'the policy acts');
  for (const path of ['/admin', '//admin', '/x/../admin', '/%61dmin', '/chat/../admin', '/chat/..;/admin']) {
    const [status] = await from(path);
    assert.ok(status === 403 || status === 400, `${path}: ${status}`);
  }
  assert.ok(app.seen.every((seen) => seen[':path'] === '/chat'));
});

test('no field of HTTP/1 makes an extended CONNECT', async () => {
  using app = await EchoServer.start();
  await using mesh = await TestMesh.start();
  const server = await mesh.proxy({ name: 'web' });
  const client = await mesh.proxy({ name: 'client' });
  mesh.serve([meshed('web', app.port, server)]);
  for (const head of [
    'CONNECT /chat HTTP/1.1\r\nhost: web\r\n:protocol: websocket\r\n',
    'CONNECT web:80 HTTP/1.1\r\nhost: web:80\r\n:protocol: websocket\r\n',
    'GET /chat HTTP/1.1\r\nhost: web\r\n:protocol: websocket\r\n',
    'CONNECT /chat HTTP/1.1\r\nhost: web\r\n',
  ]) {
    const answer = (await exchange(client.outboundPort, `${head}\r\n`)).toString();
    assert.match(answer, /^HTTP\/1.1 400 .*\r\nl5d-proxy-error: client-malformed: /, head);
  }
  assert.deepEqual(app.seen, []);
});
