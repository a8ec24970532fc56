import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { connect, type Cluster } from '../../cli/cluster.ts';
import { kindOf, SERVICE_KIND } from '../../cli/workloads.ts';
import { TestServer } from '../../sandbox/apiserver/test-server.ts';
import { applyAll, readManifests } from '../../sandbox/demo/apply.ts';
import { refuseUnknown } from './target.ts';

const OBJECTS = `
apiVersion: v1
kind: Namespace
metadata: { name: shop }
---
apiVersion: v1
kind: Namespace
metadata: { name: bank }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: shop }
spec:
  selector: { matchLabels: { app: web } }
  template: { metadata: { labels: { app: web } }, spec: { containers: [{ name: app, image: app }] } }
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop }
spec: { ports: [{ port: 80 }] }
`;

describe('what a view without anything to show was asked about', () => {
  let server: TestServer;
  let cluster: Cluster;
  before(async () => {
    server = await TestServer.start();
    cluster = await connect({ kubeconfig: server.kubeconfigPath });
    await applyAll(cluster, readManifests(OBJECTS));
  });
  after(async () => {
    cluster.close();
    await server[Symbol.asyncDispose]();
  });
  const deploy = kindOf('deploy');
  const problem = (
    target: Parameters<typeof refuseUnknown>[1],
    namespace: string | undefined,
    peer: Parameters<typeof refuseUnknown>[3] = {},
  ): Promise<string> =>
    refuseUnknown(cluster, target, namespace, peer).then(
      () => '',
      (error: unknown) => {
        const { message, hint } = error as { readonly message: string; readonly hint?: string };
        return `${message}: ${hint}`;
      },
    );

  test('is nothing to complain of when it exists, or when nothing was named', async () => {
    assert.equal(await problem({ kind: deploy, name: 'web' }, 'shop'), '');
    assert.equal(await problem({ kind: deploy, name: undefined }, undefined), '');
    const peer = { to: 'service/web', toNamespace: 'shop' };
    assert.equal(await problem({ kind: deploy, name: 'web' }, 'shop', peer), '');
    assert.equal(await problem({ kind: kindOf('ns'), name: 'bank' }, undefined), '');
  });

  test('is named when it does not exist, with the namespace where one of its name is', async () => {
    assert.equal(
      await problem({ kind: deploy, name: 'web' }, 'bank'),
      'there is no deployment "web" in namespace bank: there is one in shop, which -n names',
    );
    assert.equal(
      await problem({ kind: SERVICE_KIND, name: 'nope' }, 'shop'),
      'there is no service "nope" in namespace shop: name its namespace with -n, or see `kubectl get services -A`',
    );
    assert.match(await problem({ kind: deploy, name: undefined }, 'nope'), /^there is no namespace "nope": /);
    assert.match(await problem({ kind: kindOf('ns'), name: 'nope' }, undefined), /^there is no namespace "nope": /);
  });

  test('may be the peer', async () => {
    const target = { kind: deploy, name: 'web' };
    assert.match(
      await problem(target, 'shop', { to: 'service/cart', toNamespace: 'shop' }),
      /^there is no service "cart" in namespace shop/,
    );
    assert.match(await problem(target, 'shop', { from: 'namespace/nope' }), /^there is no namespace "nope"/);
    assert.match(await problem(target, 'shop', { fromNamespace: 'nope' }), /^there is no namespace "nope"/);
  });
});
