import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Mesh, namespaceYaml, serviceYaml } from '../harness/mesh.ts';
import { askPod } from '../harness/pod-http.ts';
import { isRealKubernetes } from '../harness/test-bed.ts';
import { until } from '../harness/until.ts';

type ContainerStatus = {
  readonly name: string;
  readonly restartCount: number;
  readonly containerID?: string; // `containerd://…`
  readonly state?: {
    readonly running?: { readonly startedAt: string };
    readonly terminated?: { readonly exitCode: number };
  };
  readonly lastState?: { readonly terminated?: { readonly reason: string; readonly exitCode: number } };
};
type PodStatus = {
  readonly phase?: string;
  readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  readonly containerStatuses?: readonly ContainerStatus[];
  readonly initContainerStatuses?: readonly ContainerStatus[];
};

const IMAGE = 'tulle.dev/test:0.1.0';
/** Uses memory until there is none. */
const HUNGRY = 'const kept = []; setInterval(() => kept.push(Buffer.alloc(16 * 1024 * 1024, 1)), 50)';

/** What the kernel holds a container to. */
function limitOf(containerID: string, controller: string, file: string): number {
  const cwd = join('/sys/fs/cgroup', controller);
  const [path = 'nothing'] = globSync(`**/${containerID.replace(/.*\//, '')}/${file}`, { cwd });
  return Number(readFileSync(join(cwd, path), 'utf8'));
}

/** What only a real kubelet and a real container runtime can show. */
describe('meshed pods on a real node', { skip: !isRealKubernetes && 'needs a real Kubernetes' }, () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.install();
    await mesh.apply(namespaceYaml('works', true));
    await mesh.apply(serviceYaml('works', 'server', { args: ['server'], replicas: 1, ports: [8080] }));
    await mesh.ready('works');
  });
  after(async () => mesh?.[Symbol.asyncDispose]());

  const pod = (name: string, spec: object, namespace = 'works'): string =>
    JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace, labels: { app: name } }, spec });
  const statusOf = async (name: string): Promise<PodStatus> => {
    const { status } = (await mesh.cluster.get(`/api/v1/namespaces/works/pods/${name}`)) as { status?: PodStatus };
    return status ?? {};
  };

  test('an init container of the pod uses the network through the proxy, which runs before it', async () => {
    const ask = { image: IMAGE, args: ['whoami', 'http://server.works:8080/'] };
    await mesh.apply(
      pod('early', {
        initContainers: [{ name: 'first', ...ask }],
        containers: [{ name: 'app', image: IMAGE, args: ['server'] }],
      }),
    );
    await until('the pod', 60_000, async () => (await statusOf('early')).phase === 'Running');
    const { initContainerStatuses = [] } = await statusOf('early');
    assert.deepEqual(
      initContainerStatuses.map(({ name }) => name),
      ['linkerd-init', 'linkerd-proxy', 'first'],
    );
    assert.match(await mesh.logs('works', 'early', 'first'), /^200 .*default\.works\.serviceaccount\.identity/);
  });

  test('a Job completes, and its proxy ends with it', async () => {
    const template = {
      spec: {
        restartPolicy: 'Never',
        containers: [{ name: 'app', image: IMAGE, args: ['whoami', 'http://server.works:8080/'] }],
      },
    };
    await mesh.apply(
      JSON.stringify({
        apiVersion: 'batch/v1',
        kind: 'Job',
        metadata: { name: 'once', namespace: 'works' },
        spec: { template },
      }),
    );
    await until('the Job', 90_000, async () => {
      const { succeeded } = (await mesh.cluster.get('/apis/batch/v1/namespaces/works/jobs/once'))['status'] as {
        succeeded?: number;
      };
      return succeeded === 1;
    });
    const [done] = await mesh.pods('works', 'job-name=once');
    const { phase, initContainerStatuses = [] } = (done?.['status'] ?? {}) as PodStatus;
    assert.equal(phase, 'Succeeded');
    const proxy = initContainerStatuses.find(({ name }) => name === 'linkerd-proxy');
    assert.equal(proxy?.state?.terminated?.exitCode, 0);
    assert.match(await mesh.logs('works', done?.metadata.name ?? '', 'app'), /^200 /);
  });

  test('an application that runs out of memory is restarted, and its proxy is not', async () => {
    const container = {
      name: 'app',
      image: IMAGE,
      command: ['/usr/bin/node', '-e', HUNGRY],
      resources: { limits: { memory: '128Mi' } },
    };
    await mesh.apply(pod('hungry', { containers: [container] }));
    await until('the kill', 90_000, async () => {
      const { containerStatuses = [] } = await statusOf('hungry');
      return containerStatuses[0]?.lastState?.terminated?.reason === 'OOMKilled';
    });
    const { initContainerStatuses = [] } = await statusOf('hungry');
    const proxy = initContainerStatuses.find(({ name }) => name === 'linkerd-proxy');
    assert.equal(proxy?.restartCount, 0);
    assert.ok(proxy?.state?.running !== undefined);
    await mesh.remove('/api/v1/namespaces/works/pods/hungry');
  });

  describe('probes of the kubelet', () => {
    const often = { periodSeconds: 1, timeoutSeconds: 10, failureThreshold: 60 };
    const probed = (name: string, args: readonly string[], probe: object, annotations: object = {}): string => {
      const probes = Object.fromEntries(
        ['startupProbe', 'readinessProbe', 'livenessProbe'].map((kind) => [kind, { ...probe, ...often }]),
      );
      const whole = JSON.parse(pod(name, { containers: [{ name: 'app', image: IMAGE, args, ...probes }] })) as {
        metadata: object;
      };
      return JSON.stringify({ ...whole, metadata: { ...whole.metadata, annotations } });
    };
    const isReady = async (name: string): Promise<boolean> => {
      const { conditions = [] } = await statusOf(name);
      return conditions.some(({ type, status }) => type === 'Ready' && status === 'True');
    };
    const denied = { 'config.linkerd.io/default-inbound-policy': 'deny' };
    for (const [name, args, probe, annotations] of [
      ['exec', ['server'], { exec: { command: ['/usr/bin/node', '-e', ''] } }, {}],
      ['http', ['server'], { httpGet: { path: '/', port: 8080 } }, {}],
      ['http-denied', ['server'], { httpGet: { path: '/', port: 8080 } }, denied],
      ['tcp', ['server'], { tcpSocket: { port: 9000 } }, {}],
      ['grpc', ['grpc-server', '50051'], { grpc: { port: 50_051 } }, {}],
    ] as const) {
      test(`${name}: a meshed pod becomes ready, and is not restarted`, async () => {
        await mesh.apply(probed(`probed-${name}`, args, probe, annotations));
        await until('the pod', 90_000, () => isReady(`probed-${name}`));
        const { containerStatuses = [] } = await statusOf(`probed-${name}`);
        assert.deepEqual(
          containerStatuses.map(({ restartCount }) => restartCount),
          [0],
        );
        await mesh.remove(`/api/v1/namespaces/works/pods/probed-${name}`);
      });
    }

    test('one that the application fails is not passed by its proxy', async () => {
      await mesh.apply(probed('failing', ['server'], { httpGet: { path: '/status/500', port: 8080 } }));
      await until('the word of the kubelet', 90_000, async () => {
        const events = await mesh.cluster.list('/api/v1/namespaces/works/events');
        return events.some(
          (event) =>
            (event['involvedObject'] as { name?: string }).name === 'failing' &&
            /Startup probe failed: HTTP probe failed with statuscode: 500/.test(String(event['message'])),
        );
      });
      assert.equal(await isReady('failing'), false);
      await mesh.remove('/api/v1/namespaces/works/pods/failing');
    });
  });

  test('the proxy has the resources that its annotations say, and one that has too little of them says so', async () => {
    const limited = (name: string, memory: string): string => {
      const whole = JSON.parse(pod(name, { containers: [{ name: 'app', image: IMAGE, args: ['server'] }] })) as {
        metadata: object;
      };
      const annotations = {
        'config.linkerd.io/proxy-cpu-limit': '500m',
        'config.linkerd.io/proxy-memory-request': '8Mi',
        'config.linkerd.io/proxy-memory-limit': memory,
      };
      return JSON.stringify({ ...whole, metadata: { ...whole.metadata, annotations } });
    };
    await mesh.apply(limited('limited', '128Mi'));
    await until('the pod', 90_000, async () => (await statusOf('limited')).phase === 'Running');
    const { initContainerStatuses = [] } = await statusOf('limited');
    const { containerID = '' } = initContainerStatuses.find(({ name }) => name === 'linkerd-proxy') ?? {};
    assert.deepEqual(
      [
        limitOf(containerID, 'memory', 'memory.limit_in_bytes'),
        limitOf(containerID, 'cpu', 'cpu.cfs_quota_us'), // of 100,000 µs
      ],
      [128 * 1024 * 1024, 50_000],
    );
    await mesh.apply(limited('tight', '16Mi'));
    await until('the check to say why', 90_000, () => {
      const { status, stdout } = mesh.tulle(['check', '--proxy', '-n', 'works', '--wait', '2s']);
      return status !== 0 && /works\/tight: container linkerd-proxy: it was killed for using more memory/.test(stdout);
    });
    for (const name of ['limited', 'tight']) await mesh.remove(`/api/v1/namespaces/works/pods/${name}`);
  });

  test('a port-forward to a port that nobody listens on fails with its reason', async () => {
    const [server] = await mesh.pods('works', 'app=server');
    const failed = askPod(mesh, 'works', server?.metadata.name ?? '', 9, {});
    await assert.rejects(failed, /port-forward to works\/server-\S+:9: .*connection refused/s);
  });

  test('the proxy runs as its own user with a read-only root and without privileges', async () => {
    const [server] = await mesh.pods('works', 'app=server');
    const { initContainers = [] } = (server?.['spec'] ?? {}) as {
      initContainers?: readonly { name: string; securityContext?: object }[];
    };
    const { securityContext } = initContainers.find(({ name }) => name === 'linkerd-proxy') ?? {};
    assert.deepEqual(securityContext, {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      readOnlyRootFilesystem: true,
      runAsNonRoot: true,
      runAsUser: 2102,
      seccompProfile: { type: 'RuntimeDefault' },
    });
  });
});
