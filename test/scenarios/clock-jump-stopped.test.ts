import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ApiObject } from '../../cli/cluster.ts';
import { IDENTITY_ANCHOR_SECRET, IDENTITY_ISSUER_SECRET, INJECTOR_CERTIFICATE_SECRET } from '#config/names.ts';
import { parseCertificate } from '#pki/certificate.ts';
import { decodeCertificates } from '#pki/pem.ts';
import { ONLY_MESHED, startLoadedShop, trafficFlows } from '../harness/loaded-shop.ts';
import { Mesh, namespaceYaml, type LoadSummary } from '../harness/mesh.ts';
import { PastCertificates } from '../harness/past-certificates.ts';
import { rebootTestBed } from '../harness/test-bed.ts';
import { until } from '../harness/until.ts';

const JUMP_MS = 400 * 86_400_000;
const HEALED_MS = 120_000;
const ROOTS = '/api/v1/namespaces/tulle/configmaps/linkerd-identity-trust-roots';
const SECRETS = '/api/v1/namespaces/tulle/secrets';

describe('the clock jumps 400 days ahead while everything is switched off', () => {
  let mesh: Mesh;
  let past: PastCertificates;
  let requests: () => Promise<LoadSummary>;
  before(async () => {
    mesh = await Mesh.start();
    past = await PastCertificates.at(mesh.bed.kubeconfig, Date.now() - JUMP_MS);
    await mesh.apply(namespaceYaml('tulle', false));
    await past.makeAuthorities();
    await mesh.apply(mesh.tulle(['install', ...ONLY_MESHED]).stdout);
    await mesh.ready('tulle');
    requests = await startLoadedShop(mesh);
  });
  after(async () => {
    past?.[Symbol.dispose]();
    await mesh?.[Symbol.asyncDispose]();
  });

  const textOf = async (secret: string): Promise<string> => {
    const { data } = (await mesh.cluster.get(`${SECRETS}/${secret}`)) as { readonly data?: Record<string, string> };
    return Buffer.from(data?.['tls.crt'] ?? '', 'base64').toString();
  };
  const endOf = async (secret: string): Promise<number> => {
    const [der = Buffer.alloc(0)] = decodeCertificates(await textOf(secret), secret);
    return parseCertificate(der).notAfterMs;
  };

  test('the mesh heals itself within two minutes', async () => {
    const anchor = await textOf(IDENTITY_ANCHOR_SECRET);
    await rebootTestBed(mesh.bed, Math.random, async () => {
      for (const secret of [IDENTITY_ISSUER_SECRET, INJECTOR_CERTIFICATE_SECRET])
        await mesh.remove(`${SECRETS}/${secret}`);
      await past.makeAuthorities();
      await past.makeServingCertificate();
      for (const secret of [IDENTITY_ISSUER_SECRET, INJECTOR_CERTIFICATE_SECRET])
        assert.ok((await endOf(secret)) < Date.now(), `${secret} has ended`);
    });
    await trafficFlows(requests, HEALED_MS);
    const { status, stdout } = mesh.tulle(['check', '--proxy', '--wait', '60s']);
    assert.equal(status, 0, stdout);
    for (const secret of [IDENTITY_ISSUER_SECRET, INJECTOR_CERTIFICATE_SECRET])
      assert.ok((await endOf(secret)) > Date.now(), `${secret} is renewed`);
    assert.equal(await textOf(IDENTITY_ANCHOR_SECRET), anchor, 'the anchor held');
    await mesh.restart('shop', 'server'); // the webhook works again
    await trafficFlows(requests, HEALED_MS);
  });

  test('when the trust anchor has ended too, check says which workloads to restart, and that heals them', async () => {
    // Pods that are made now get an anchor that has ended: nobody is there who would renew it.
    await scale('tulle-identity', 0);
    await until('identity to stop', HEALED_MS, async () => {
      return (await mesh.pods('tulle', 'linkerd.io/control-plane-component=identity')).length === 0;
    });
    const authorities = [IDENTITY_ANCHOR_SECRET, IDENTITY_ISSUER_SECRET].map((name) => `${SECRETS}/${name}`);
    for (const path of [...authorities, ROOTS]) await mesh.remove(path);
    await past.makeAuthorities(JUMP_MS / 2);
    const ended = ((await mesh.cluster.get(ROOTS)) as { readonly data?: Record<string, string> }).data;
    await until('pods with an anchor that has ended', HEALED_MS, async () => {
      const old = (await mesh.pods('shop')).filter((pod) => anchorsOf(pod) !== ended?.['ca-bundle.crt']);
      for (const { metadata } of old) await mesh.remove(`/api/v1/namespaces/shop/pods/${metadata.name}`);
      return old.length === 0;
    });
    await rebootTestBed(mesh.bed, Math.random, () => scale('tulle-identity', 1));

    let found = '';
    await until('a trust anchor that holds, in the control plane', HEALED_MS, () => {
      found = mesh.tulle(['check', '--proxy', '--wait', '1s']).stdout;
      return /√ trust anchors: within the validity period/.test(found);
    });
    assert.match(found, /shop\/client-\S+: the last of its trust anchors ended at 20/);
    assert.match(found, /`kubectl rollout restart` their workloads: a pod is given its trust anchors when it is made/);
    for (const workload of ['server', 'client']) await mesh.restart('shop', workload);
    await trafficFlows(requests, HEALED_MS);
    const { status, stdout } = mesh.tulle(['check', '--proxy', '--wait', '60s']);
    assert.equal(status, 0, stdout);
  });

  const scale = async (deployment: string, replicas: number): Promise<void> => {
    const path = `/apis/apps/v1/namespaces/tulle/deployments/${deployment}`;
    await mesh.cluster.request('PATCH', path, { spec: { replicas } }, 'application/merge-patch+json');
  };
});

/** What the proxy of a pod starts with. */
function anchorsOf(pod: ApiObject): string | undefined {
  const { initContainers = [] } = pod['spec'] as {
    readonly initContainers?: readonly {
      readonly env?: readonly { readonly name: string; readonly value?: string }[];
    }[];
  };
  const environment = initContainers.flatMap(({ env = [] }) => env);
  return environment.find(({ name }) => name === 'LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS')?.value;
}
