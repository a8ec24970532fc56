import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Place } from './place.ts';

/** Ports of the application: redirected to its proxy, and the same not redirected. */
export const APP = { http: 8080, http2: 8082, opaque: 8084, grpc: 8086 } as const;
export const APP_APART = { http: 9080, http2: 9082, opaque: 9084, grpc: 9086 } as const;
export const SMALL = 'hello world, hello mesh\n'; // 24 bytes
const BODIES = { '10k': 10 * 1024, '1m': 1024 * 1024 } as const;

/** File with the one message of a gRPC call, for h2load. */
export function grpcMessageFile(place: Place): string {
  return join(place.folder, 'message');
}

/** The application behind every proxy: nginx, which costs little itself; for gRPC, whose trailers it has not, one of our own. */
export async function startBackend(place: Place): Promise<void> {
  await Promise.all([startNginx(place), startGrpc(place)]);
}

async function startGrpc(place: Place): Promise<void> {
  const body = Buffer.from(SMALL);
  const head = Buffer.alloc(5); // not compressed, length
  head.writeUInt32BE(body.length, 1);
  writeFileSync(grpcMessageFile(place), Buffer.concat([head, body]));
  const main = join(import.meta.dirname, 'grpc-backend.ts');
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', main];
  place.start(place.server, 'load', 'grpc-backend', [...node, String(APP.grpc), String(APP_APART.grpc)]);
  await place.listening(place.server, APP_APART.grpc, 'grpc-backend');
}

async function startNginx(place: Place): Promise<void> {
  const root = join(place.folder, 'www');
  mkdirSync(root);
  for (const [name, bytes] of Object.entries(BODIES)) writeFileSync(join(root, name), Buffer.alloc(bytes, 'x'));
  const listen = (ports: readonly number[], rest = ''): string =>
    ports.map((port) => `listen ${port}${rest} backlog=4096;`).join(' ');
  const location = `location = /s { default_type text/plain; return 200 "${SMALL.trim()}\\n"; }`;
  const file = join(place.folder, 'backend.conf');
  writeFileSync(
    file,
    `worker_processes 1; daemon off; pid ${place.folder}/backend.pid; error_log stderr warn;
worker_rlimit_nofile 65536;
events { worker_connections 30000; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 600s; sendfile on; tcp_nopush on; http2_max_requests 100000000;
  client_body_temp_path ${place.folder}/body; proxy_temp_path ${place.folder}/proxy; fastcgi_temp_path ${place.folder}/fastcgi;
  uwsgi_temp_path ${place.folder}/uwsgi; scgi_temp_path ${place.folder}/scgi;
  server { ${listen([APP.http, APP.opaque, APP_APART.http, APP_APART.opaque])} root ${root}; ${location} }
  server { ${listen([APP.http2, APP_APART.http2], ' http2')} root ${root}; ${location} }
}
`,
  );
  place.start(place.server, 'load', 'backend', ['nginx', '-e', 'stderr', '-c', file]);
  await place.listening(place.server, APP_APART.http, 'backend');
}
