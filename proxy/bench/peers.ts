import type { ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createTestAuthority, tlsOptions } from '#pki/testing.ts';
import { APP_APART } from './backend.ts';
import { familyOf } from './measure.ts';
import type { Outbound, Pair } from './pair.ts';
import type { Place } from './place.ts';

const SERVER_NAME = 'web.shop.serviceaccount.identity.tulle.cluster.local';
const CLIENT_NAME = 'client.shop.serviceaccount.identity.tulle.cluster.local';

/** Twice that, for both sides, is what descriptors suffice for where the limit is low. */
const HAPROXY_MAXCONN = 8000;

/** Port of the outbound side; the inbound side has the next one. */
const PORTS = {
  nginx: { http: 7101, http2: 7111, opaque: 7121, grpc: 7131 },
  'haproxy-h1': { http: 7201, opaque: 7221 },
  'haproxy-h2': { http: 7211, http2: 7231, grpc: 7241 },
} as const;

/** Key and chain in one file, and the anchors, for both ends. */
type Pki = { readonly client: string; readonly server: string; readonly anchors: string };

function writePki({ folder }: Place): Pki {
  const authority = createTestAuthority();
  const write = (name: string, text: string): string => {
    const file = join(folder, name);
    writeFileSync(file, text);
    return file;
  };
  const both = (name: string): string => {
    const { key, cert } = tlsOptions(authority.leaf(name));
    return `${cert}${key}`;
  };
  return {
    client: write('client.pem', both(CLIENT_NAME)),
    server: write('server.pem', both(SERVER_NAME)),
    anchors: write('anchors.pem', authority.anchorsPem),
  };
}

/**
 * nginx and haproxy as pairs: mutual TLS 1.3 between them with P-256 keys, both ends verified, no session resumption, pooled
 * connections, one worker or thread each.
 */
export async function startPeers(place: Place): Promise<readonly Pair[]> {
  const pki = writePki(place);
  const pairs: Pair[] = [];
  for (const program of ['nginx', 'haproxy'] as const) {
    const pids = { out: [] as readonly number[], in: [] as readonly number[] };
    let outbound: Outbound | undefined;
    for (const [side, host] of [
      ['in', place.server],
      ['out', place.client],
    ] as const) {
      const name = `${program}-${side}`;
      const file = join(place.folder, `${name}.conf`);
      const config = program === 'nginx' ? nginx : haproxy;
      writeFileSync(file, config(place, pki, side));
      const command = program === 'nginx' ? ['nginx', '-e', 'stderr', '-c', file] : ['haproxy', '-f', file];
      const start = (): ChildProcess => place.start(host, 'proxies', name, command);
      const { pid = 0 } = start();
      const port = program === 'nginx' ? PORTS.nginx.http : PORTS['haproxy-h1'].http;
      if (side === 'out') outbound = { start, listen: { host: host.ipv4, port } };
      await place.listening(host, side === 'out' ? port : port + 1, name);
      pids[side] = familyOf(pid);
    }
    for (const [name, ports] of Object.entries(PORTS))
      if (name.startsWith(program))
        pairs.push({
          name,
          place,
          host: place.client.ipv4,
          ports,
          pids,
          ...(outbound && { outbound }),
          ...(program === 'haproxy' && { connectionsMax: HAPROXY_MAXCONN }),
        });
  }
  return pairs;
}

function nginx(place: Place, { client, server, anchors }: Pki, side: 'out' | 'in'): string {
  const to = side === 'out' ? place.server.ipv4 : '127.0.0.1';
  const { http, http2, opaque, grpc } = PORTS.nginx;
  const next = (port: number): number => port + 1;
  const toServer = (kind: string): string =>
    `${kind}_ssl_certificate ${client}; ${kind}_ssl_certificate_key ${client}; ${kind}_ssl_trusted_certificate ${anchors}; ${kind}_ssl_verify on; ${kind}_ssl_protocols TLSv1.3; ${kind}_ssl_server_name on; ${kind}_ssl_name ${SERVER_NAME};`;
  const fromClient = `ssl_certificate ${server}; ssl_certificate_key ${server}; ssl_client_certificate ${anchors}; ssl_verify_client on; ssl_verify_depth 3; ssl_protocols TLSv1.3;`;
  const upstream = (name: string, port: number): string =>
    `upstream ${name} { server ${to}:${port}; keepalive 1100; keepalive_requests 100000000; }`;
  const id =
    'proxy_set_header Connection ""; proxy_set_header Host $host; proxy_set_header l5d-client-id $ssl_client_s_dn;';
  return `load_module /usr/lib/nginx/modules/ngx_stream_module.so;
worker_processes 1; daemon off; pid ${place.folder}/nginx-${side}.pid; error_log stderr crit;
worker_rlimit_nofile 65536;
events { worker_connections 30000; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 600s; tcp_nodelay on; http2_max_requests 100000000;
  client_body_temp_path ${place.folder}/${side}-body; proxy_temp_path ${place.folder}/${side}-proxy; fastcgi_temp_path ${place.folder}/${side}-fastcgi;
  uwsgi_temp_path ${place.folder}/${side}-uwsgi; scgi_temp_path ${place.folder}/${side}-scgi;
  ssl_session_cache off; ssl_session_tickets off; proxy_ssl_session_reuse off;
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; client_max_body_size 0; proxy_request_buffering off;
  ${upstream('one', side === 'out' ? next(http) : APP_APART.http)}
  ${upstream('two', side === 'out' ? next(http2) : APP_APART.http2)}
  ${upstream('grpc', side === 'out' ? next(grpc) : APP_APART.grpc)}
  ${
    side === 'out'
      ? `server { listen ${http} backlog=4096; location / { proxy_pass https://one; ${toServer('proxy')} } }
  server { listen ${http2} http2 backlog=4096; location / { grpc_pass grpcs://two; ${toServer('grpc')} } }
  server { listen ${grpc} http2 backlog=4096; location / { grpc_pass grpcs://grpc; ${toServer('grpc')} } }`
      : `server { listen ${next(http)} ssl backlog=4096; ${fromClient} location / { proxy_pass http://one; ${id} } }
  server { listen ${next(http2)} ssl http2 backlog=4096; ${fromClient} location / { grpc_pass grpc://two; } }
  server { listen ${next(grpc)} ssl http2 backlog=4096; ${fromClient} location / { grpc_pass grpc://grpc; } }`
  }
}
stream {
  proxy_timeout 600s; tcp_nodelay on; proxy_ssl_session_reuse off;
  ${
    side === 'out'
      ? `server { listen ${opaque} backlog=4096; proxy_pass ${to}:${next(opaque)}; proxy_ssl on; ${toServer('proxy')} }`
      : `server { listen ${next(opaque)} ssl backlog=4096; ${fromClient} proxy_pass ${to}:${APP_APART.opaque}; }`
  }
}
`;
}

function haproxy(place: Place, { client, server, anchors }: Pki, side: 'out' | 'in'): string {
  const { 'haproxy-h1': one, 'haproxy-h2': two } = PORTS;
  const toServer = (port: number, rest: string): string =>
    `server s ${place.server.ipv4}:${port} ssl crt ${client} ca-file ${anchors} verify required verifyhost ${SERVER_NAME} no-ssl-reuse ${rest}`;
  const fromClient = (port: number, rest: string): string =>
    `bind *:${port} ssl crt ${server} ca-file ${anchors} verify required ${rest}`;
  const out = `
frontend one
  bind *:${one.http}
  default_backend to-one
backend to-one
  ${toServer(one.http + 1, 'alpn http/1.1 pool-max-conn 2000')}
frontend two
  bind *:${two.http}
  # HTTP/2 has no reason phrase, and h2load takes no response without.
  http-response set-status 200 reason OK
  default_backend to-two
frontend two-h2
  bind *:${two.http2} proto h2
  default_backend to-two
frontend grpc
  bind *:${two.grpc} proto h2
  default_backend to-grpc
backend to-two
  ${toServer(two.http + 1, 'alpn h2 pool-max-conn 2000')}
backend to-grpc
  ${toServer(two.grpc + 1, 'alpn h2 pool-max-conn 2000')}
frontend bytes
  mode tcp
  bind *:${one.opaque}
  default_backend to-bytes
backend to-bytes
  mode tcp
  ${toServer(one.opaque + 1, '')}
`;
  const inbound = `
frontend one
  ${fromClient(one.http + 1, 'alpn http/1.1')}
  http-request set-header l5d-client-id %[ssl_c_s_dn(cn)]
  default_backend app
frontend two
  ${fromClient(two.http + 1, 'alpn h2')}
  http-request set-header l5d-client-id %[ssl_c_s_dn(cn)]
  default_backend app
backend app
  server s 127.0.0.1:${APP_APART.http} pool-max-conn 2000
frontend grpc
  ${fromClient(two.grpc + 1, 'alpn h2')}
  http-request set-header l5d-client-id %[ssl_c_s_dn(cn)]
  default_backend app-grpc
backend app-grpc
  server s 127.0.0.1:${APP_APART.grpc} proto h2 pool-max-conn 2000
frontend bytes
  mode tcp
  ${fromClient(one.opaque + 1, '')}
  default_backend app-bytes
backend app-bytes
  mode tcp
  server s 127.0.0.1:${APP_APART.opaque}
`;
  return `global
  nbthread 1
  maxconn ${HAPROXY_MAXCONN}
  ssl-default-bind-options ssl-min-ver TLSv1.3
  ssl-default-server-options ssl-min-ver TLSv1.3
  tune.ssl.cachesize 0
  tune.h2.max-concurrent-streams 1000
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  http-reuse always
${side === 'out' ? out : inbound}`;
}
