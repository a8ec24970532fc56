import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startLoadedShop } from '../harness/loaded-shop.ts';
import { Mesh, type LoadSummary } from '../harness/mesh.ts';
import { until } from '../harness/until.ts';
import { readTrustAnchors } from '#pki/trust-anchors.ts';

const SECRETS = '/api/v1/namespaces/tulle/secrets';
const TRUST_ROOTS = '/api/v1/namespaces/tulle/configmaps/linkerd-identity-trust-roots';
const RENEWALS = /^control_identity_cert_refreshes_total\{[^}]*result="ok"[^}]*\} (\d+)/m;

describe('trust anchor and issuer are rotated under 200 requests a second', () => {
  let mesh: Mesh;
  let loadOf: () => Promise<LoadSummary>;
  before(async () => {
    mesh = await Mesh.install(['--identity-issuance-lifetime', '20s']);
    loadOf = await startLoadedShop(mesh, 200);
  });
  after(async () => mesh?.[Symbol.asyncDispose]());

  const textOf = async (path: string, key: string): Promise<string> =>
    ((await mesh.cluster.get(path))['data'] as Record<string, string>)[key] ?? '';
  const issuer = (): Promise<string> => textOf(`${SECRETS}/linkerd-identity-issuer`, 'tls.crt');
  const anchorCount = async (): Promise<number> =>
    readTrustAnchors(await textOf(TRUST_ROOTS, 'ca-bundle.crt'), 'the published anchors').length;
  const rotate = (secret: string): Promise<void> =>
    mesh.annotate(`${SECRETS}/${secret}`, { 'tulle.dev/rotate': 'now' });
  const clientRenewals = (): number => {
    const { stdout } = mesh.tulle(['diagnostics', 'proxy-metrics', '-n', 'shop', 'deploy/client']);
    return Number(RENEWALS.exec(stdout)?.[1] ?? 0);
  };

  test('no request fails, also not through a proxy that never restarts', async () => {
    const [client] = await mesh.pods('shop', 'app=client');
    const oldIssuer = await issuer();
    await rotate('linkerd-identity-issuer');
    await rotate('linkerd-identity-anchor');
    await until('the new anchor', 60_000, async () => (await anchorCount()) === 2);
    await until('the new issuer', 60_000, async () => (await issuer()) !== oldIssuer);
    const before = clientRenewals();
    await until('a certificate of the new issuer', 120_000, () => clientRenewals() > before);
    await mesh.restart('shop', 'server'); // new proxies, new handshakes with the old one
    const { ok } = await loadOf();
    await until('requests to the new proxies', 60_000, async () => (await loadOf()).ok > ok + 1000);
    const load = await loadOf();
    assert.deepEqual({ failed: load.failed, reasons: load.reasons }, { failed: 0, reasons: {} });
    const [sameClient] = await mesh.pods('shop', 'app=client');
    assert.equal(sameClient?.metadata.uid, client?.metadata.uid);
    const log = await mesh.logs('shop', client?.metadata.name ?? '', 'linkerd-proxy');
    assert.match(log, /trust anchors changed/, 'the proxy was told the new anchor');
  });
});
