import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ApiObject } from '../../cli/cluster.ts';
import { readManifests } from '../../sandbox/demo/apply.ts';
import { Mesh, podYaml, serviceYaml } from '../harness/mesh.ts';
import { until } from '../harness/until.ts';

const DEADLINE_MS = 120_000;
const DAEMON_SET = '/apis/apps/v1/namespaces/tulle-cni/daemonsets/tulle-cni';
const VALIDATOR = 'linkerd-network-validator';

type PodSpec = { readonly containers: readonly object[] };
type InitStatus = { readonly name: string; readonly state?: { readonly running?: object } };

/** The same objects with what Pod Security `restricted` asks of a pod. */
function restricted(yaml: string): string {
  return readManifests(yaml)
    .map((object) => {
      const spec = object['spec'] as PodSpec & { readonly template?: { readonly spec: PodSpec } };
      const changed =
        object.kind === 'Pod'
          ? { ...object, spec: restrictedSpec(spec) }
          : spec.template === undefined
            ? object
            : {
                ...object,
                spec: { ...spec, template: { ...spec.template, spec: restrictedSpec(spec.template.spec) } },
              };
      return `---\n${JSON.stringify(changed)}\n`;
    })
    .join('');
}

function restrictedSpec(spec: PodSpec): object {
  return {
    ...spec,
    securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
    containers: spec.containers.map((container) => ({
      ...container,
      securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
    })),
  };
}

function initNames({ spec }: ApiObject): readonly string[] {
  const { initContainers = [] } = spec as { initContainers?: readonly { readonly name: string }[] };
  return initContainers.map(({ name }) => name);
}

describe('a namespace that enforces Pod Security restricted', () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.install(['--linkerd-cni-enabled']);
    await until('the agent on each node', DEADLINE_MS, async () => {
      const { status } = await mesh.cluster.get(DAEMON_SET);
      const { numberReady = 0, desiredNumberScheduled: wanted = 0 } = status as Record<string, number>;
      return wanted > 0 && numberReady === wanted;
    });
    await mesh.apply(
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Namespace',
        metadata: {
          name: 'shop',
          labels: { 'pod-security.kubernetes.io/enforce': 'restricted' },
          annotations: { 'linkerd.io/inject': 'enabled' },
        },
      }),
    );
    await mesh.apply(
      JSON.stringify({
        apiVersion: 'policy.linkerd.io/v1beta3',
        kind: 'Server',
        metadata: { name: 'server', namespace: 'shop' },
        spec: { podSelector: { matchLabels: { app: 'server' } }, port: 8080, accessPolicy: 'all-authenticated' },
      }),
    );
  });
  after(async () => mesh?.[Symbol.asyncDispose]());

  test('its pods are meshed without a capability, and reach a server that only takes meshed clients', async () => {
    await mesh.apply(restricted(serviceYaml('shop', 'server', { args: ['server'], replicas: 2, ports: [8080] })));
    await mesh.ready('shop');
    for (const pod of await mesh.pods('shop', 'app=server'))
      assert.deepEqual(initNames(pod), [VALIDATOR, 'linkerd-proxy']);
    await mesh.apply(
      restricted(podYaml('shop', 'client', ['post', 'http://server:8080/', 'body', '20'], true, 'Never')),
    );
    assert.match(await mesh.endOf('shop', 'client', DEADLINE_MS), /^20 of 20 answered 200$/m);
    const { status, stdout } = mesh.tulle(['check', '--proxy', '-o', 'short', '--wait', '60s']);
    assert.deepEqual([status, stdout], [0, 'Status check results are √\n']);
  });

  test('a pod that starts while its agent is away waits, which check says, and goes on when it is back', async () => {
    const agent = await mesh.cluster.get(DAEMON_SET);
    await mesh.remove(DAEMON_SET);
    await until('no agent', DEADLINE_MS, async () => (await mesh.pods('tulle-cni')).length === 0);
    const post = ['post', 'http://server:8080/', 'body', '5'];
    await mesh.apply(restricted(podYaml('shop', 'early', post, true, 'Never')));
    await until('the pod to wait', DEADLINE_MS, async () => {
      const { status } = await mesh.cluster.get('/api/v1/namespaces/shop/pods/early');
      const { initContainerStatuses = [] } = status as { initContainerStatuses?: readonly InitStatus[] };
      return initContainerStatuses.some(({ name, state }) => name === VALIDATOR && state?.running !== undefined);
    });
    await until('its log to say why', DEADLINE_MS, async () =>
      /still waiting: the pod of DaemonSet tulle-cni/.test(await mesh.logs('shop', 'early', VALIDATOR)),
    );
    const check = (...flags: readonly string[]) => mesh.tulle(['check', '-o', 'short', '--wait', '0', ...flags]);
    const said = check('--proxy', '-n', 'shop');
    assert.equal(said.status, 1);
    assert.match(said.stdout, /daemonset tulle-cni\/tulle-cni does not exist, and new pods with a proxy do not start/);
    assert.match(said.stdout, /shop\/early waits for the agent on node \S+/);

    const { apiVersion, kind, metadata, spec } = agent;
    const { name, namespace, labels } = metadata;
    await mesh.apply(JSON.stringify({ apiVersion, kind, metadata: { name, namespace, labels }, spec }));
    assert.match(await mesh.endOf('shop', 'early', DEADLINE_MS), /^5 of 5 answered 200$/m);
  });

  test('prune and uninstall know the agents', async () => {
    const plan = mesh.tulle(['upgrade', '--plan', '--set', 'cni.enabled=false']).stdout;
    assert.match(plan, /^- namespace tulle-cni \(for `tulle prune`\)$/m);
    await mesh.delete(mesh.tulle(['uninstall', '--force']).stdout);
    assert.equal(await mesh.cluster.find('/api/v1/namespaces/tulle-cni'), undefined);
  });
});
