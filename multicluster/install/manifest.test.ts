import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toYaml } from '../../control-plane/install/manifest.ts';
import { defaultValues } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import { multiclusterManifests } from './manifest.ts';

const values = defaultValues(VERSION);
const objects = multiclusterManifests(values, { serviceType: 'LoadBalancer', probeSeconds: 3 });

test('the manifest is the same bytes at every rendering and holds no key or token', () => {
  const text = toYaml(objects);
  assert.equal(text, toYaml(multiclusterManifests(values, { serviceType: 'LoadBalancer', probeSeconds: 3 })));
  assert.doesNotMatch(text, /PRIVATE KEY|BEGIN CERTIFICATE|token:/);
});

test('the gateway is a meshed pod that only serves meshed clients, and its Service says who it is', () => {
  const of = (kind: string): { metadata: { annotations?: Record<string, string> }; spec: Record<string, never> } => {
    const found = objects.find((object) => object.kind === kind && object.metadata.name === 'tulle-gateway');
    assert.ok(found);
    return found as never;
  };
  assert.equal(
    of('Service').metadata.annotations?.['mirror.linkerd.io/gateway-identity'],
    'tulle-gateway.tulle-multicluster.serviceaccount.identity.tulle.cluster.local',
  );
  const { template } = of('Deployment').spec as unknown as {
    template: { metadata: { annotations: Record<string, string> } };
  };
  assert.equal(template.metadata.annotations['config.linkerd.io/enable-gateway'], 'true');
  assert.equal(template.metadata.annotations['config.linkerd.io/default-inbound-policy'], 'all-authenticated');
});

test('other clusters may list and watch Services and their endpoints, and read the trust anchors, nothing else', () => {
  const roles = objects.filter(({ metadata }) => metadata.name === 'tulle-service-mirror-remote-access-default');
  const rules = roles.flatMap((role) => (role['rules'] ?? []) as { resources: string[]; verbs: string[] }[]);
  assert.deepEqual(
    rules.map(({ resources, verbs }) => `${verbs.join(',')} ${resources.join(',')}`),
    ['list,watch services', 'list,watch endpointslices', 'get configmaps'],
  );
});
