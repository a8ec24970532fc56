import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../testing/mesh.ts';

/** A request as an application has understood it. */
export type Seen = {
  readonly method: string;
  readonly path: string;
  readonly host: string;
  readonly body: string; // latin1
  /** Names of header and trailer fields, lower case. */
  readonly names: readonly string[];
};

/** An application that says what it has understood, to its client and to the test. */
export interface Backend {
  readonly name: string;
  readonly port: number;
  /** Whole requests so far; emptied by the test. */
  readonly seen: Seen[];
}

/** Programs that may be behind a proxy, by the file that the Debian package of that name has. */
const PROGRAMS = { nginx: '/usr/sbin/nginx', haproxy: '/usr/sbin/haproxy' } as const;
type Program = keyof typeof PROGRAMS;

/** Names of those that are not installed. */
export function absentPrograms(): readonly Program[] {
  return (Object.keys(PROGRAMS) as Program[]).filter((name) => !existsSync(PROGRAMS[name]));
}

/**
 * Real servers: node:http as it is and in its lenient mode, nginx and haproxy as far as they are installed. These two pass on what
 * they have understood to a node:http of their own, which records it.
 */
export class Backends implements AsyncDisposable {
  readonly all: readonly Backend[];
  readonly #stack: AsyncDisposableStack;

  private constructor(all: readonly Backend[], stack: AsyncDisposableStack) {
    this.all = all;
    this.#stack = stack;
  }

  /** @param version  which the backends take */
  static async start(version: 'http1' | 'http2'): Promise<Backends> {
    const stack = new AsyncDisposableStack();
    const folder = mkdtempSync(join(tmpdir(), 'conformance-'));
    stack.defer(() => rmSync(folder, { recursive: true }));
    const all: Backend[] = [];
    if (version === 'http1') {
      all.push(await recorder('node', false, stack), await recorder('node, lenient', true, stack));
    } else all.push(await http2Recorder(stack));
    const absent = absentPrograms();
    for (const program of Object.keys(PROGRAMS) as Program[]) {
      if (absent.includes(program)) continue;
      const behind = await recorder(program, true, stack);
      const port = await freePort();
      const file = join(folder, `${program}-${version}.conf`);
      const config = program === 'nginx' ? nginx : haproxy;
      writeFileSync(file, config(folder, port, behind.port, version === 'http2'));
      const args = program === 'nginx' ? ['-e', join(folder, 'nginx-error'), '-c', file] : ['-f', file];
      const child = spawn(PROGRAMS[program], args, { stdio: ['ignore', 'ignore', 'inherit'] });
      stack.defer(() => ended(child));
      await eventually(() => listens(port), `${program} listens`);
      all.push({ name: program, port, seen: behind.seen });
    }
    return new Backends(all, stack);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

/** @param isLenient  takes what its parser can make sense of in any way */
async function recorder(name: string, isLenient: boolean, stack: AsyncDisposableStack): Promise<Backend> {
  const seen: Seen[] = [];
  const server = createHttpServer({ insecureHTTPParser: isLenient, keepAliveTimeout: 60_000 }, record(seen));
  server.on('clientError', (_error, socket) => socket.destroy());
  const port = await listen(server);
  stack.defer(() => {
    server.close();
    server.closeAllConnections();
  });
  return { name, port, seen };
}

async function http2Recorder(stack: AsyncDisposableStack): Promise<Backend> {
  const seen: Seen[] = [];
  const server = createHttp2Server();
  const sessions = new Set<{ destroy(): void }>();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('error', () => {});
  });
  server.on('request', record(seen) as never);
  const port = await listen(server);
  stack.defer(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return { name: 'node', port, seen };
}

/** Remembers every whole request, and answers with its path. */
function record(seen: Seen[]): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString('latin1')));
    request.on('error', () => {});
    request.on('end', () => {
      if (request.aborted || (request as { stream?: { aborted?: boolean } }).stream?.aborted === true) return;
      const { method = '', url = '', headers, trailers } = request;
      const host = headers.host ?? (headers[':authority'] as string | undefined) ?? '';
      const names = [...Object.keys(headers), ...Object.keys(trailers)].filter((name) => !name.startsWith(':'));
      seen.push({ method, path: url.replace(/^http:\/\/[^/?]*/, ''), host, body, names });
      response.end(`answer to ${url}`);
    });
  };
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server);
  await new Promise((resolve) => void server.close(resolve));
  return port;
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('connect', () => resolve(true));
    socket.on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

function nginx(folder: string, port: number, behind: number, isHttp2: boolean): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/nginx-${name};`,
  );
  return `daemon off; master_process off; pid ${folder}/nginx.pid; error_log /dev/null;
events { worker_connections 1000; }
http {
  access_log off; keepalive_timeout 60s; ${temporary.join(' ')}
  upstream recorder { server 127.0.0.1:${behind}; keepalive 8; }
  server {
    listen 127.0.0.1:${port}${isHttp2 ? ' http2' : ''};
    location / { proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host; proxy_pass http://recorder; }
  }
}
`;
}

function haproxy(_folder: string, port: number, behind: number, isHttp2: boolean): string {
  return `global
  nbthread 1
  maxconn 1000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option accept-invalid-http-request
frontend in
  bind 127.0.0.1:${port}${isHttp2 ? ' proto h2' : ''}
  default_backend recorder
backend recorder
  server s 127.0.0.1:${behind}
`;
}
