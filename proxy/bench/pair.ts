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

/** What a load can be sent through. */
export type Ports = { readonly http?: number; readonly http2?: number; readonly opaque?: number };

/** Two proxies with mutual TLS between them. */
export type Pair = {
  readonly name: string;
  readonly host: string; // address that the client connects to
  readonly ports: Ports;
  readonly pids: { readonly out: readonly number[]; readonly in: readonly number[] };
};

/** No proxy at all. */
export function direct(place: Place): Pair {
  return { name: 'direct', host: place.server.ipv4, ports: APP_APART, pids: { out: [], in: [] } };
}

/** The control plane of the bench, and our pair on it. */
export async function startTulle(place: Place, flags: readonly string[]): Promise<Pair> {
  await bundleAll();
  writeFileSync(join(place.folder, 'token'), 'token');
  chmodSync(join(place.folder, 'token'), 0o644);
  const anchorsPem = await startControl(place);
  const start = async (host: TestHost, name: string): Promise<readonly number[]> => {
    const child = place.start(
      host,
      'proxies',
      name,
      [process.execPath, ...NODE_FLAGS, ...flags, join(BUNDLE_FOLDER, 'tulle.cjs'), 'proxy'],
      {
        env: { ...environment(place, host, name, anchorsPem), ...NODE_ENVIRONMENT },
        ...(exemption(PROXY_UID).kind === 'uid' ? { uid: PROXY_UID } : {}),
      },
    );
    await place.listening(host, 4191, name);
    return [child.pid ?? 0];
  };
  const inbound = await start(place.server, 'web');
  const outbound = await start(place.client, 'client');
  return { name: 'tulle', host: SERVICE_IP, ports: SERVICE_PORTS, pids: { out: outbound, in: inbound } };
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

function environment(place: Place, host: TestHost, name: string, anchorsPem: string): Readonly<Record<string, string>> {
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
    IDENTITY_TOKEN_FILE: join(place.folder, 'token'),
    INBOUND_IPS: host.ipv4,
    INBOUND_PORTS: Object.values(APP).join(','),
    LOG: 'warn',
  };
  return Object.fromEntries(Object.entries(env).map(([key, value]) => [`LINKERD2_PROXY_${key}`, value]));
}
