import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exemption } from '#netlink/exemption.ts';
import { createCsr } from '#pki/csr.ts';
import { PrivateKey } from '#pki/key.ts';
import { identityOf } from '../testing/mesh.ts';
import { startMeshPair, writeToken, type Pair } from './pair.ts';
import { PROXY_UID, type Place } from './place.ts';

/** Environment variable with the file of a linkerd2-proxy. */
export const LINKERD_VARIABLE = 'TULLE_BENCH_LINKERD2_PROXY';

/**
 * A pair of linkerd2-proxy, in pods of its own: it has the ports of ours. It gets the environment of ours, and what only it needs:
 * one worker, a key and a certificate request made for it, and the networks whose addresses it asks for.
 */
export async function startLinkerd(place: Place, program: string): Promise<Pair> {
  writeToken(place);
  return startMeshPair(place, 'linkerd2-proxy', {
    command: [program],
    environment: (name) => ({
      CORES: '1',
      IDENTITY_DIR: identityFolder(place, name),
      DESTINATION_PROFILE_NETWORKS: '0.0.0.0/0',
      DESTINATION_PROFILE_SUFFIXES: '.',
      DESTINATION_CONTEXT: JSON.stringify({ ns: 'shop', pod: name }),
      LOG: 'warn,linkerd=warn',
    }),
  });
}

/** As its image's start program leaves it: key as PKCS #8 and request, both DER. */
function identityFolder(place: Place, name: string): string {
  const folder = join(place.folder, `identity-${name}`);
  const key = PrivateKey.generate();
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'csr.der'), createCsr(key, identityOf(name)));
  writeFileSync(join(folder, 'key.p8'), key.exportDer(), { mode: 0o600 });
  chmodSync(folder, 0o755);
  if (exemption(PROXY_UID).kind === 'uid') chownSync(join(folder, 'key.p8'), PROXY_UID, PROXY_UID);
  return folder;
}
