import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { createIssuer, createTrustAnchor, type Authority } from '#pki/issuer.ts';
import { encodeCertificates } from '#pki/pem.ts';
import { Folder, tulle } from './testing.ts';

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
