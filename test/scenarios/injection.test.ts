import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ApiObject } from '../../cli/cluster.ts';
import { Mesh, namespaceYaml, podYaml, serviceYaml } from '../harness/mesh.ts';
import { until } from '../harness/until.ts';

const DEADLINE_MS = 90_000;

type ContainerStatus = {
  readonly name: string;
  readonly ready?: boolean;
  readonly state?: { readonly terminated?: { readonly message?: string } };
  readonly lastState?: { readonly terminated?: { readonly message?: string } };
};
type EventObject = ApiObject & { readonly reason?: string; readonly message?: string };

function isMeshed({ spec }: ApiObject): boolean {
  const { initContainers = [] } = spec as { initContainers?: readonly { readonly name: string }[] };
  return initContainers.some(({ name }) => name === 'linkerd-proxy');
}

/** A pod template with a program of `test/apps`. */
function template(app: string, args: readonly string[], more: object = {}): object {
  const { annotations = {}, ...spec } = more as { annotations?: object };
  return {
    metadata: { labels: { app }, annotations },
    spec: {
      terminationGracePeriodSeconds: 5,
      containers: [{ name: 'app', image: 'tulle.dev/test:0.1.0', args }],
      ...spec,
    },
  };
}

describe('injection in a cluster', () => {
  let mesh: Mesh;
  const eventsOf = async (namespace: string, name: string): Promise<readonly string[]> => {
    const events = (await mesh.cluster.list(`/api/v1/namespaces/${namespace}/events`)) as readonly EventObject[];
    return events
      .filter((event) => (event['involvedObject'] as { name?: string }).name === name)
      .map(({ reason, message }) => `${reason}: ${message}`);
  };
  const apply = async (...objects: readonly object[]): Promise<void> =>
    mesh.apply(objects.map((object) => `---\n${JSON.stringify(object)}\n`).join(''));
  const scaleInjector = async (replicas: number): Promise<void> => {
    await mesh.cluster.request(
      'PATCH',
      '/apis/apps/v1/namespaces/tulle/deployments/tulle-injector',
      { spec: { replicas } },
      'application/merge-patch+json',
    );
    if (replicas > 0) return mesh.ready('tulle');
    await until('the injector to be gone', DEADLINE_MS, async () => {
      const pods = await mesh.cluster.list('/api/v1/namespaces/tulle/pods');
      return pods.every(({ metadata }) => !metadata.name.startsWith('tulle-injector'));
    });
  };
  before(async () => {
    mesh = await Mesh.install();
    await mesh.apply(namespaceYaml('shop', true));
    await mesh.apply(serviceYaml('shop', 'server', { args: ['server'], replicas: 1, ports: [8080] }));
    await mesh.ready('shop');
  });
  after(async () => mesh?.[Symbol.asyncDispose]());

  test('a Job completes with its sidecar, and its init container reaches a server that only takes meshed clients', async () => {
    await apply({
      apiVersion: 'policy.linkerd.io/v1beta3',
      kind: 'Server',
      metadata: { name: 'server', namespace: 'shop' },
      spec: { podSelector: { matchLabels: { app: 'server' } }, port: 8080, accessPolicy: 'all-authenticated' },
    });
    const post = ['post', 'http://server:8080/', 'body', '10'];
    await apply({
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name: 'import', namespace: 'shop' },
      spec: {
        backoffLimit: 4,
        template: template('import', post, {
          restartPolicy: 'Never',
          initContainers: [{ name: 'migrate', image: 'tulle.dev/test:0.1.0', args: post }],
        }),
      },
    });
    await until('the Job to complete', DEADLINE_MS, async () => {
      const job = await mesh.cluster.get('/apis/batch/v1/namespaces/shop/jobs/import');
      return (job['status'] as { succeeded?: number }).succeeded === 1;
    });
    const [pod] = await mesh.pods('shop', 'app=import');
    assert.ok(pod !== undefined && isMeshed(pod));
    for (const container of ['migrate', 'app'])
      assert.match(await mesh.logs('shop', pod.metadata.name, container), /^10 of 10 answered 200$/m);
    await mesh.remove('/apis/policy.linkerd.io/v1beta3/namespaces/shop/servers/server');
  });

  test('a Job of a CronJob completes with its sidecar', async () => {
    const path = '/apis/batch/v1/namespaces/shop';
    await apply({
      apiVersion: 'batch/v1',
      kind: 'CronJob',
      metadata: { name: 'report', namespace: 'shop' },
      spec: {
        schedule: '@every 5s',
        concurrencyPolicy: 'Forbid',
        successfulJobsHistoryLimit: 100,
        jobTemplate: {
          spec: { template: template('report', ['whoami', 'http://server:8080/'], { restartPolicy: 'Never' }) },
        },
      },
    });
    await until('one of its Jobs to complete', DEADLINE_MS, async () => {
      const jobs = await mesh.cluster.list(`${path}/jobs`);
      const done = jobs.filter(({ metadata, status }) => {
        return metadata.name.startsWith('report-') && (status as { succeeded?: number }).succeeded === 1;
      });
      return done.length > 0;
    });
    const pods = (await mesh.pods('shop', 'app=report')).filter(
      ({ status }) => (status as { phase?: string }).phase === 'Succeeded',
    );
    for (const pod of pods) {
      assert.ok(isMeshed(pod), pod.metadata.name);
      assert.match(await mesh.logs('shop', pod.metadata.name, 'app'), /^200 .*default\.shop\.serviceaccount\.identity/);
    }
    await mesh.remove(`${path}/cronjobs/report`);
  });

  test('pods of a StatefulSet, a DaemonSet and of nobody are meshed and become ready', async () => {
    // Each selects its own: a DaemonSet adopts pods that its selector matches, and deletes those that are too many.
    const parts = (kind: string): { metadata: object; selector: object; template: object } => {
      const labels = { app: 'many', kind };
      return {
        metadata: { name: 'many', namespace: 'shop', labels },
        selector: { matchLabels: labels },
        template: { ...template('many', ['server']), metadata: { labels } },
      };
    };
    const [stateful, daemon, bare] = [parts('stateful'), parts('daemon'), parts('bare')];
    await apply(
      {
        apiVersion: 'apps/v1',
        kind: 'StatefulSet',
        metadata: stateful.metadata,
        spec: { replicas: 1, serviceName: 'many', selector: stateful.selector, template: stateful.template },
      },
      {
        apiVersion: 'apps/v1',
        kind: 'DaemonSet',
        metadata: daemon.metadata,
        spec: { selector: daemon.selector, template: daemon.template },
      },
      { apiVersion: 'v1', kind: 'Pod', ...bare.template, metadata: bare.metadata },
    );
    await until('three meshed pods to be ready', DEADLINE_MS, async () => {
      const pods = await mesh.pods('shop', 'app=many');
      assert.equal(pods.length, 3);
      return pods.every((pod) => {
        const { conditions = [] } = pod['status'] as { conditions?: readonly { type: string; status: string }[] };
        return isMeshed(pod) && conditions.some(({ type, status }) => type === 'Ready' && status === 'True');
      });
    });
    for (const path of ['/apis/apps/v1/namespaces/shop/statefulsets', '/apis/apps/v1/namespaces/shop/daemonsets'])
      await mesh.remove(`${path}/many`);
  });

  test('a pod that cannot have a proxy runs without, and its workload is told why', async () => {
    await apply({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'node-agent', namespace: 'shop' },
      spec: {
        replicas: 1,
        selector: { matchLabels: { app: 'node-agent' } },
        template: template('node-agent', ['server'], {
          hostNetwork: true,
          containers: [{ name: 'app', image: 'tulle.dev/test:0.1.0', args: ['load', 'http://127.0.0.1:1/', '1'] }],
        }),
      },
    });
    await until('the event', DEADLINE_MS, async () =>
      (await eventsOf('shop', 'node-agent')).some((text) => /^InjectionSkipped: .*hostNetwork is true/.test(text)),
    );
    const { stdout } = mesh.tulle(['check', '--proxy', '-n', 'shop', '--wait', '5s']);
    assert.match(stdout, /shop\/node-agent-\S+ has no proxy: spec\.hostNetwork is true/);
    await mesh.remove('/apis/apps/v1/namespaces/shop/deployments/node-agent');
  });

  test('a Service learns the opaque ports that it has', async () => {
    await apply({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'sql', namespace: 'shop' },
      spec: {
        selector: { app: 'none' },
        ports: [
          { name: 'sql', port: 3306 },
          { name: 'web', port: 80 },
        ],
      },
    });
    const { metadata } = await mesh.cluster.get('/api/v1/namespaces/shop/services/sql');
    assert.equal(metadata.annotations?.['config.linkerd.io/opaque-ports'], '3306');
  });

  test('a proxy that cannot start says why, in the status of its pod and in `tulle check --proxy`', async () => {
    const env = JSON.stringify([
      { name: 'LINKERD2_PROXY_INBOUND_POLICY', value: '' },
      { name: 'LINKERD2_PROXY_IDENTITY_MIN_REFRESH', value: 'soon' },
    ]);
    const pod = JSON.parse(podYaml('shop', 'broken', ['server'], true)) as {
      metadata: { annotations: Record<string, string> };
    };
    pod.metadata.annotations['config.linkerd.io/proxy-additional-env'] = env;
    await apply(pod);
    const message = await until<string | false>('the message of the proxy', DEADLINE_MS, async () => {
      const { status } = await mesh.cluster.get('/api/v1/namespaces/shop/pods/broken');
      const { initContainerStatuses = [] } = status as { initContainerStatuses?: readonly ContainerStatus[] };
      const proxy = initContainerStatuses.find(({ name }) => name === 'linkerd-proxy');
      return (proxy?.state?.terminated ?? proxy?.lastState?.terminated)?.message ?? false;
    });
    assert.match(message || '', /LINKERD2_PROXY_IDENTITY_MIN_REFRESH: "soon"/);
    await until('the check to say so too', DEADLINE_MS, () => {
      const { status, stdout } = mesh.tulle(['check', '--proxy', '-n', 'shop', '--wait', '2s']);
      return (
        status !== 0 && /shop\/broken: container linkerd-proxy: .*LINKERD2_PROXY_IDENTITY_MIN_REFRESH/.test(stdout)
      );
    });
    await mesh.remove('/api/v1/namespaces/shop/pods/broken');
  });

  test('a proxy that gets no certificate says why, while it waits and when it is ended', async () => {
    const pod = JSON.parse(podYaml('shop', 'uncertified', ['server'], true)) as {
      metadata: { annotations: Record<string, string>; finalizers?: readonly string[] };
    };
    const nobody = { name: 'LINKERD2_PROXY_IDENTITY_SVC_ADDR', value: 'tulle-policy.tulle.svc.cluster.local.:1' };
    pod.metadata.annotations['config.linkerd.io/proxy-additional-env'] = JSON.stringify([nobody]);
    pod.metadata.finalizers = ['test.tulle.dev/read-status']; // so that the status can be read after the end
    await apply(pod);
    const path = '/api/v1/namespaces/shop/pods/uncertified';
    try {
      await until('the check to say why', DEADLINE_MS, () => {
        const { status, stdout } = mesh.tulle(['check', '--proxy', '-n', 'shop', '--wait', '2s']);
        const why = /× data plane proxies are ready\n.*\n +shop\/uncertified: not ready: no valid certificate: .*\S/;
        if (!why.test(stdout)) throw new Error(stdout);
        return status !== 0;
      });
      await mesh.cluster.request('DELETE', path);
      const message = await until<string | false>('the last words of the proxy', DEADLINE_MS, async () => {
        const { status } = await mesh.cluster.get(path);
        const { initContainerStatuses = [] } = status as { initContainerStatuses?: readonly ContainerStatus[] };
        const proxy = initContainerStatuses.find(({ name }) => name === 'linkerd-proxy');
        return proxy?.state?.terminated?.message ?? false;
      });
      assert.match(message || '', /^no valid certificate: \S/);
    } finally {
      const patch = { metadata: { finalizers: null } };
      await mesh.cluster.request('PATCH', path, patch, 'application/merge-patch+json');
      await until('the pod to be gone', DEADLINE_MS, async () => {
        const left = await mesh.cluster.find(path);
        if (left !== undefined && left.metadata.deletionTimestamp === undefined) await mesh.remove(path);
        return left === undefined;
      });
    }
  });

  test('pods that were created while the injector was away become meshed by themselves, as their budgets allow', async () => {
    await scaleInjector(0);
    await mesh.apply(serviceYaml('shop', 'free', { args: ['server'], replicas: 2, ports: [8080] }));
    await mesh.apply(serviceYaml('shop', 'held', { args: ['server'], replicas: 1, ports: [8080] }));
    await apply({
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: { name: 'held', namespace: 'shop' },
      spec: { maxUnavailable: 0, selector: { matchLabels: { app: 'held' } } },
    });
    await mesh.ready('shop');
    for (const app of ['free', 'held'])
      for (const pod of await mesh.pods('shop', `app=${app}`)) assert.equal(isMeshed(pod), false);

    await scaleInjector(1);
    await until('the free pods to be meshed', DEADLINE_MS, async () => {
      const pods = await mesh.pods('shop', 'app=free');
      return pods.length === 2 && pods.every(isMeshed);
    });
    await until('to be told of the budget', DEADLINE_MS, async () =>
      (await eventsOf('shop', 'held')).some((text) => /^RepairBlocked: .*budget/.test(text)),
    );
    const [held] = await mesh.pods('shop', 'app=held');
    assert.ok(held !== undefined && !isMeshed(held));
    const { stdout } = mesh.tulle(['check', '--proxy', '-n', 'shop', '--wait', '5s']);
    assert.match(stdout, /shop\/held-\S+ has no proxy: the injector evicts it/);

    await mesh.remove('/apis/policy/v1/namespaces/shop/poddisruptionbudgets/held');
    await until('the held pod to be meshed', DEADLINE_MS, async () => {
      const pods = await mesh.pods('shop', 'app=held');
      return pods.length === 1 && pods.every(isMeshed);
    });
    await mesh.ready('shop');
  });
});
