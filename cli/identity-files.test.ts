import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { createIssuer, createTrustAnchor, type Authority } from '#pki/issuer.ts';
import { encodeCertificates } from '#pki/pem.ts';
import { defaultValues } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import { renderInstall } from '../control-plane/install/render.ts';
import { TestServer } from '../sandbox/apiserver/test-server.ts';
import { applyAll, readManifests } from '../sandbox/demo/apply.ts';
import { connect } from './cluster.ts';
import { Folder, tulle, type Outcome } from './testing.ts';

const DAY = 86_400_000;
const VALIDITY = { notBeforeMs: Date.now() - DAY, notAfterMs: Date.now() + 90 * DAY };

type Objects = readonly { kind: string; metadata: { name: string }; [field: string]: unknown }[];

function pem({ certificate }: Authority): string {
  return encodeCertificates([certificate.der]);
}

test('an anchor and an issuer from files are in the manifest, and it is said that a key is', async () => {
  using folder = new Folder();
  const anchor = createTrustAnchor('mine', VALIDITY);
  const issuer = createIssuer(anchor, 'mine', VALIDITY);
  const files = {
    anchors: folder.write('ca.crt', pem(anchor)),
    certificate: folder.write('issuer.crt', pem(issuer)),
    key: folder.write('issuer.key', issuer.key.exportPem()),
  };
  const flags = [
    `--identity-trust-anchors-file=${files.anchors}`,
    `--identity-issuer-certificate-file=${files.certificate}`,
    `--identity-issuer-key-file=${files.key}`,
  ];
  const { code, out, err } = await tulle(['install', ...flags]);
  assert.equal(code, 0);
  assert.match(err, /^warning: the manifest holds the private key of your issuer/);
  const objects = parseAllDocuments(out).map((document) => document.toJS() as Objects[number]);
  const find = (kind: string, name: string) =>
    objects.find((object) => object.kind === kind && object.metadata.name === name);
  assert.deepEqual(find('Secret', 'linkerd-identity-issuer')?.['stringData'], {
    'crt.pem': pem(issuer),
    'key.pem': issuer.key.exportPem(),
  });
  assert.deepEqual(find('ConfigMap', 'linkerd-identity-trust-roots')?.['data'], { 'ca-bundle.crt': pem(anchor) });
  assert.match(JSON.stringify(find('Deployment', 'tulle-identity')), /"TULLE_IDENTITY_ISSUER","value":"external"/);
  assert.doesNotMatch(JSON.stringify(find('ConfigMap', 'linkerd-config')), /PRIVATE KEY/);

  const foreign = createTrustAnchor('other', VALIDITY);
  const expired = createTrustAnchor('late', { notBeforeMs: 0, notAfterMs: DAY });
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [['--identity-trust-anchors-file', files.anchors], /needs --identity-issuer-certificate-file and/],
    [['--identity-issuer-key-file', files.key], /belong together/],
    [flags.slice(1), /needs --identity-trust-anchors-file: proxies have to know/],
    [['--identity-external-issuer', ...flags], /exclude each other/],
    [
      [...flags, '--identity-trust-anchors-file', folder.write('x1', pem(foreign))],
      /nothing trusted vouches for "issuer/,
    ],
    [[...flags, '--identity-trust-anchors-file', folder.write('x2', pem(expired))], /expired at 1970-01-02/],
    [[...flags, '--identity-trust-anchors-file', folder.write('x3', pem(issuer))], /is not a root/],
    [[...flags, '--identity-trust-anchors-file', folder.write('x4', 'no')], /holds no PEM certificate/],
    [[...flags, '--identity-trust-anchors-file', '/does/not/exist'], /--identity-trust-anchors-file: .*exist/i],
    [
      [...flags, '--identity-issuer-key-file', folder.write('x5', foreign.key.exportPem())],
      /is not the key of .*issuer\.crt/,
    ],
  ];
  for (const [bad, expected] of cases) {
    const outcome = await tulle(['install', ...bad]);
    assert.deepEqual([outcome.code, outcome.out], [2, ''], String(expected));
    assert.match(outcome.err, expected);
  }
});

test("an issuer of somebody else's needs no file: the manifest holds no secret, and none is made", async () => {
  const { code, out, err } = await tulle(['install', '--identity-external-issuer']);
  assert.deepEqual([code, err], [0, '']);
  assert.doesNotMatch(out, /^kind: Secret$/m);
  assert.match(out, /name: TULLE_IDENTITY_ISSUER\n +value: external/);
});

test('an upgrade takes a new issuer under a published anchor, adds anchors, and shows no key', async () => {
  using folder = new Folder();
  await using server = await TestServer.start();
  const cluster = await connect({ kubeconfig: server.kubeconfigPath });
  await applyAll(cluster, renderInstall(defaultValues(VERSION)));
  const run = (...args: readonly string[]): Promise<Outcome> =>
    tulle(['upgrade', ...args, '--kubeconfig', server.kubeconfigPath]);
  const [old, next] = [createTrustAnchor('old', VALIDITY), createTrustAnchor('next', VALIDITY)];
  const anchorFlag = `--identity-trust-anchors-file=${folder.write('next.crt', pem(next))}`;
  const issuerUnder = (anchor: Authority, name: string): readonly string[] => {
    const issuer = createIssuer(anchor, name, VALIDITY);
    return [
      `--identity-issuer-certificate-file=${folder.write(`${name}.crt`, pem(issuer))}`,
      `--identity-issuer-key-file=${folder.write(`${name}.key`, issuer.key.exportPem())}`,
    ];
  };
  const apply = (text: string): Promise<void> => applyAll(cluster, readManifests(text));
  const objects = (text: string, name: string): readonly Record<string, unknown>[] =>
    readManifests(text).filter(({ metadata }) => metadata.name === name);
  const SECRET = '/api/v1/namespaces/tulle/secrets/linkerd-identity-issuer';

  try {
    assert.match((await run(...issuerUnder(old, 'a'))).err, /needs --identity-trust-anchors-file/);
    await cluster.request('POST', '/api/v1/namespaces/tulle/configmaps', {
      metadata: { name: 'linkerd-identity-trust-roots' },
      data: { 'ca-bundle.crt': pem(old) },
    });
    const first = await run(...issuerUnder(old, 'a'));
    assert.equal(first.code, 0, first.err);
    assert.match(first.err, /^warning: the manifest holds the private key/m);
    assert.equal(objects(first.out, 'linkerd-identity-issuer').length, 1);
    assert.equal(objects(first.out, 'linkerd-identity-trust-roots').length, 0);
    await apply(first.out);
    const again = await run('--plan');
    assert.match(again.out, /^Nothing would change/, 'it stays, and so does the issuer being external');
    const { out: plan } = await run('--plan', ...issuerUnder(old, 'b'));
    assert.match(plan, /~ secret tulle\/linkerd-identity-issuer\n +data\."crt\.pem": changed inside\n/);
    assert.match(plan, /No pod restarts/);
    const { out: document } = await run('--plan', '-o', 'json', ...issuerUnder(old, 'b'));
    assert.match(document, /"path": "data.*key/);
    assert.doesNotMatch(document, /LS0tLS|PRIVATE KEY/, 'not even in base64');

    const stray = await run(...issuerUnder(next, 'c'));
    assert.equal(stray.code, 2);
    assert.match(
      stray.err,
      /nothing trusted vouches for "issuer.*": name the anchor above it with --identity-trust-anch/,
    );
    const both = await run(anchorFlag, ...issuerUnder(next, 'c'));
    const [roots] = objects(both.out, 'linkerd-identity-trust-roots');
    const bundle = JSON.stringify(roots?.['data']);
    for (const anchor of [old, next])
      assert.ok(bundle.includes(JSON.stringify(pem(anchor)).slice(1, -1)), 'no anchor is forgotten');
    const { code, out } = await run(anchorFlag);
    assert.equal(code, 0, 'an anchor may come before its issuer');
    assert.equal(objects(out, 'linkerd-identity-issuer').length, 0);

    await cluster.request('DELETE', SECRET);
    await cluster.request('POST', '/api/v1/namespaces/tulle/secrets', {
      metadata: { name: 'linkerd-identity-issuer' },
      type: 'kubernetes.io/tls',
      data: { 'tls.crt': '', 'tls.key': '' },
    });
    const foreign = await run(...issuerUnder(old, 'd'));
    assert.deepEqual([foreign.code, foreign.out], [1, '']);
    assert.match(
      foreign.err,
      /linkerd-identity-issuer is somebody else's \(type kubernetes.io\/tls, as cert-manager makes it\)/,
    );
  } finally {
    cluster.close();
  }
});
