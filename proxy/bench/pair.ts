import type { ChildProcess } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundleAll, BUNDLE_FOLDER } from '../../control-plane/install/bundle.ts';
import { NODE_ENVIRONMENT, NODE_FLAGS } from '../../control-plane/install/node-flags.ts';
import { exemption } from '#netlink/exemption.ts';
import type { TestHost } from '#netlink/testing.ts';
import { CONTROL_IDENTITY } from '../testing/control-plane.ts';
import { identityOf } from '../testing/mesh.ts';
import { APP, APP_APART } from './backend.ts';
import { CONTROL_PORT, SERVICE_IP, SERVICE_PORTS } from './service.ts';
import { PROXY_UID, type Place } from './place.ts';

const TOKEN = 'token';
const ADMIN_PORT = 4191;

/** What a load can be sent through. */
export type Ports = {
  readonly http?: number;
  readonly http2?: number;
  readonly opaque?: number;
  readonly grpc?: number;
};

/** Two proxies with mutual TLS between them. */
export type Pair = {
  readonly name: string;
  readonly place: Place;
  readonly host: string; // address that the client connects to
  readonly ports: Ports;
  readonly pids: { readonly out: readonly number[]; readonly in: readonly number[] };
  readonly outbound?: Outbound; // absent: there is no proxy
  readonly connectionsMax?: number; // of clients
};

/** How the outbound proxy of a pair is started, and where it listens. */
export type Outbound = {
  readonly start: () => ChildProcess;
  readonly listen: { readonly host: string; readonly port: number };
  /** What it answers 200 when it serves. */
  readonly ready?: { readonly host: string; readonly port: number; readonly path: string };
};

/** No proxy at all. */
export function direct(place: Place): Pair {
  return { name: 'direct', place, host: place.server.ipv4, ports: APP_APART, pids: { out: [], in: [] } };
}

/** What ours is run by: another Node than the one that runs this, and flags besides those that it has in a pod. */
export type Runtime = { readonly node: string | undefined; readonly flags: readonly string[] };

/** Our pair. */
export async function startTulle(place: Place, runtime: Runtime): Promise<Pair> {
  await bundleAll();
  writeToken(place);
  return startMeshPair(place, 'tulle', tulle(runtime));
}

/** Environment variable with the bundle of another version. */
export const BASELINE_VARIABLE = 'TULLE_BENCH_BASELINE';

/** Environment variable with another Node to run ours with. */
export const NODE_VARIABLE = 'TULLE_BENCH_NODE';

/** A pair of another version of ours, in pods of its own, with the same runtime: whether a change pays shows only in one run. */
export function startBaseline(place: Place, bundle: string, runtime: Runtime): Promise<Pair> {
  writeToken(place);
  return startMeshPair(place, 'baseline', tulle(runtime, bundle));
}

/** How a proxy of a mesh is started. */
export type MeshProxy = {
  readonly command: readonly string[];
  /** What it needs besides what all of them need, without prefix, by its name. */
  readonly environment: (name: string) => Readonly<Record<string, string>>;
};

/** Ours as it is shipped: its bundle, with the flags that it has in a pod. */
function tulle({ node, flags }: Runtime, bundle = join(BUNDLE_FOLDER, 'tulle.cjs')): MeshProxy {
  return {
    command: [node ?? process.execPath, ...NODE_FLAGS, ...flags, bundle, 'proxy'],
    environment: () => ({}),
  };
}

/** The control plane of the bench, and a pair on it. */
export async function startMeshPair(place: Place, pair: string, proxy: MeshProxy): Promise<Pair> {
  const anchorsPem = await startControl(place);
  const of = (host: TestHost, name: string): ProxyStart => ({
    host,
    name,
    proxy,
    anchorsPem,
    ports: Object.values(APP),
  });
  const inbound = await startProxy(place, of(place.server, 'web'));
  const outbound = await startProxy(place, of(place.client, 'client'));
  return {
    name: pair,
    place,
    host: SERVICE_IP,
    ports: SERVICE_PORTS,
    pids: { out: [outbound.pid ?? 0], in: [inbound.pid ?? 0] },
    outbound: {
      start: () => spawnProxy(place, of(place.client, 'client')),
      listen: { host: '127.0.0.1', port: 4140 },
      ready: { host: place.client.ipv4, port: ADMIN_PORT, path: '/ready' },
    },
  };
}

/** One proxy. */
type ProxyStart = {
  readonly host: TestHost;
  readonly name: string; // of its service account, and of its log
  readonly proxy: MeshProxy;
  readonly anchorsPem: string;
  readonly ports: readonly number[]; // of the application
};

/** Starts one of ours, as the user that it has in a pod, and waits until it listens. */
export function startOurs(place: Place, start: Omit<ProxyStart, 'proxy'>): Promise<ChildProcess> {
  return startProxy(place, { ...start, proxy: tulle({ node: undefined, flags: [] }) });
}

async function startProxy(place: Place, start: ProxyStart): Promise<ChildProcess> {
  const child = spawnProxy(place, start);
  await place.listening(start.host, ADMIN_PORT, start.name);
  return child;
}

function spawnProxy(place: Place, start: ProxyStart): ChildProcess {
  const { command } = start.proxy;
  return place.start(start.host, 'proxies', start.name, command, {
    env: { ...environment(place, start), ...NODE_ENVIRONMENT },
    ...(exemption(PROXY_UID).kind === 'uid' ? { uid: PROXY_UID } : {}),
  });
}

/** What a proxy shows for a certificate. The control plane of the bench takes any. */
export function writeToken(place: Place): void {
  writeFileSync(join(place.folder, TOKEN), 'token');
  chmodSync(join(place.folder, TOKEN), 0o644);
}

/** @returns the trust anchors */
async function startControl(place: Place): Promise<string> {
  const main = join(import.meta.dirname, 'control.ts');
  place.start(place.server, 'load', 'control', [
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    main,
    place.server.ipv4,
  ]);
  await place.listening(place.server, CONTROL_PORT, 'control');
  return place.logOf('control');
}

function environment(
  place: Place,
  { host, name, proxy, anchorsPem, ports }: ProxyStart,
): Readonly<Record<string, string>> {
  const address = `${place.server.ipv4}:${CONTROL_PORT}`;
  const env: Record<string, string> = {
    INBOUND_LISTEN_ADDR: '0.0.0.0:4143',
    OUTBOUND_LISTEN_ADDR: '127.0.0.1:4140',
    ADMIN_LISTEN_ADDR: '0.0.0.0:4191',
    CONTROL_LISTEN_ADDR: '0.0.0.0:4190',
    DESTINATION_SVC_ADDR: address,
    DESTINATION_SVC_NAME: CONTROL_IDENTITY,
    POLICY_SVC_ADDR: address,
    POLICY_SVC_NAME: CONTROL_IDENTITY,
    POLICY_WORKLOAD: JSON.stringify({ ns: 'shop', pod: name }),
    IDENTITY_SVC_ADDR: address,
    IDENTITY_SVC_NAME: CONTROL_IDENTITY,
    IDENTITY_LOCAL_NAME: identityOf(name),
    IDENTITY_TRUST_ANCHORS: anchorsPem,
    IDENTITY_TOKEN_FILE: join(place.folder, TOKEN),
    INBOUND_IPS: host.ipv4,
    INBOUND_PORTS: ports.join(','),
    LOG: 'warn',
    ...proxy.environment(name),
  };
  return Object.fromEntries(Object.entries(env).map(([key, value]) => [`LINKERD2_PROXY_${key}`, value]));
}
