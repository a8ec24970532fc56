import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { customKind, type CustomObject } from '#k8s/resources/custom-object.ts';
import { PODS } from '#k8s/resources/pod.ts';
import { parseNetwork } from '#model/address.ts';
import { isServerRouteKind } from './route-kinds.ts';
import { serverParents } from './inbound-route.ts';
import { findingsOf } from './policy-problems.ts';
import { POLICY_KINDS, type PolicyKind, type PolicyObjects } from './policy-objects.ts';
import { selectServer } from './linkerd-servers.ts';
import { judgeServerRoute } from './server-routes.ts';

const FOLDER = join(import.meta.dirname, 'testdata/linkerd-policy');
const CONTEXT = {
  clusterNetworks: [parseNetwork('10.0.0.0/8')!],
  accessPolicies: ['all-unauthenticated', 'cluster-authenticated', 'deny'],
  identitySuffix: 'serviceaccount.identity.tulle.cluster.local',
};

/** What a file of objects comes to: the server of each port of its pods, and what has no effect. */
function compile(file: string): unknown {
  const documents = parseAllDocuments(readFileSync(join(FOLDER, file), 'utf8')).map(
    (document) => document.toJS() as { apiVersion?: string; kind: string },
  );
  const byKind = new Map<PolicyKind, CustomObject[]>(POLICY_KINDS.map((kind) => [kind, []]));
  for (const document of documents) {
    const kind = POLICY_KINDS.find((name) => name === document.kind);
    if (kind === undefined) continue;
    const object = customKind({ group: 'policy.linkerd.io', kind, plural: '' }, 'v1').parse(document);
    assert.ok(object, 'an object without a name');
    byKind.get(kind)?.push(object);
  }
  const routes = documents.flatMap((document) => {
    const { apiVersion = '', kind } = document;
    const [group = ''] = apiVersion.split('/');
    return isServerRouteKind({ group, kind })
      ? (customKind({ group, kind, plural: '' }, 'v1').parse(document) ?? [])
      : [];
  });
  const objects: PolicyObjects = {
    routes: (namespace) => routes.filter((route) => route.namespace === namespace && serverParents(route).length > 0),
    list: (kind, namespace) => byKind.get(kind)?.filter((object) => object.namespace === namespace) ?? [],
    get: (kind, namespace, name) =>
      byKind.get(kind)?.find((object) => object.namespace === namespace && object.name === name),
  };
  const pods = documents.flatMap((document) => (document.kind === 'Pod' ? (PODS.parse(document) ?? []) : []));
  return {
    ports: pods.flatMap((pod) =>
      pod.ports.map(({ port }) => ({ port, server: selectServer(pod, port, objects, CONTEXT) ?? 'none' })),
    ),
    ...(routes.length > 0 && {
      status: routes.map((route) => ({
        route: `${route.kind}.${route.group} ${route.name}`,
        parents: serverParents(route).map((parent) => judgeServerRoute(route, parent, objects, CONTEXT)),
      })),
    }),
    findings: POLICY_KINDS.flatMap((kind) =>
      (byKind.get(kind) ?? []).flatMap((object) => findingsOf(kind, object, objects, CONTEXT)),
    ),
  };
}

describe('policy objects come to the reviewed model (UPDATE=1 writes it anew)', () => {
  for (const file of readdirSync(FOLDER).filter((name) => name.endsWith('.in.yaml'))) {
    test(file, () => {
      const golden = join(FOLDER, file.replace('.in.yaml', '.out.json'));
      const text = `${JSON.stringify(compile(file), undefined, 2)}\n`;
      if (process.env['UPDATE'] === '1') writeFileSync(golden, text);
      assert.ok(existsSync(golden), 'run this test with UPDATE=1 and review the file');
      assert.equal(text, readFileSync(golden, 'utf8'));
    });
  }
});
