import assert from 'node:assert/strict';
import { ManualClock } from '#runtime/clock.ts';
import { createLogger } from '#runtime/log.ts';
import { startControllers } from './controllers.ts';
import { FakeCluster } from './fake-cluster.ts';
import { PretendKubelet } from './pretend-kubelet.ts';
import type { Deployment, Kinds, Pod, Resource } from './resources.ts';
import { typedClient, type Draft, type TypedClient } from './typed-client.ts';

const TURNS_QUIET = 25;
const TURNS_MAX = 20_000;

/** All controllers on a fake API server with a pretended node, under a clock that stands still. Namespace `demo` exists. */
export class TestCluster implements Disposable {
  readonly clock = new ManualClock();
  readonly server = new FakeCluster(this.clock);
  readonly client: TypedClient = typedClient(this.server);
  readonly kubelet = new PretendKubelet(this.server, this.clock);
  readonly #controllers: Disposable;

  private constructor() {
    const log = createLogger('test', 'silent');
    this.#controllers = startControllers(this.server, { caCertificate: 'CA', clock: this.clock, log });
  }

  static async start(): Promise<TestCluster> {
    const cluster = new TestCluster();
    for (const name of ['default', 'demo']) await cluster.server.create('namespaces', { metadata: { name } });
    const labels = { 'topology.kubernetes.io/zone': 'here' };
    await cluster.server.create('nodes', { metadata: { name: 'node-1', labels } });
    await cluster.settle();
    return cluster;
  }

  [Symbol.dispose](): void {
    this.#controllers[Symbol.dispose]();
    this.kubelet[Symbol.dispose]();
  }

  /** Waits until nothing changes any more while time stands still. */
  async settle(): Promise<void> {
    let version = this.server.version;
    for (let turns = 0, quiet = 0; quiet < TURNS_QUIET; turns += 1) {
      assert.ok(turns < TURNS_MAX, 'the cluster never comes to rest');
      await new Promise((resolve) => setImmediate(resolve));
      // Retries after conflicts wait a few milliseconds of the clock.
      this.clock.advance(0);
      quiet = this.server.version === version && this.kubelet.isIdle ? quiet + 1 : 0;
      version = this.server.version;
      if (quiet === TURNS_QUIET - 5) this.clock.advance(1);
    }
  }

  /** Moves the clock, a second at a time at most, and lets everything that falls due happen. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 1000) {
      this.clock.advance(Math.min(1000, left));
      await this.settle();
    }
  }

  get<R extends Resource>(resource: R, name: string): Kinds[R] {
    const object = this.client.get(resource, 'demo', name);
    assert.ok(object, `${resource} ${name} is not there`);
    return object;
  }

  find<R extends Resource>(resource: R, name: string): Kinds[R] | undefined {
    return this.client.get(resource, 'demo', name);
  }

  list<R extends Resource>(resource: R): readonly Kinds[R][] {
    return this.client.list(resource, 'demo');
  }

  create<R extends Resource>(resource: R, object: Omit<Draft<Kinds[R]>, 'apiVersion' | 'kind'>): Promise<Kinds[R]> {
    const metadata = { namespace: 'demo', ...object.metadata };
    return this.client.create(resource, { ...object, metadata } as unknown as Draft<Kinds[R]>);
  }

  /** Changes the stored object as `change` says, all of it but the status. */
  async edit<R extends Resource>(resource: R, name: string, change: (object: Kinds[R]) => object): Promise<void> {
    const object = this.get(resource, name);
    await this.client.update(resource, { ...object, ...change(object) });
  }

  pods(): readonly Pod[] {
    return this.list('pods').filter((pod) => pod.metadata.deletionTimestamp === undefined);
  }

  messages(reason: string): readonly string[] {
    return this.server.events.filter((event) => event.reason === reason).map(({ message }) => message);
  }

  reasons(): readonly string[] {
    return this.server.events.map(({ reason }) => reason);
  }
}

export function template(app: string, image = 'tulle.dev/host:1'): Deployment['spec']['template'] {
  const containers = [{ name: 'main', image, ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }] }];
  return { metadata: { labels: { app } }, spec: { containers } };
}

/** What the API server's defaulting would have made of a small Deployment. */
export function deployment(
  name: string,
  spec: Partial<Deployment['spec']> = {},
): Omit<Draft<Deployment>, 'apiVersion' | 'kind'> {
  return {
    metadata: { name },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: name } },
      template: template(name),
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } },
      revisionHistoryLimit: 10,
      progressDeadlineSeconds: 600,
      ...spec,
    },
  };
}
