import assert from 'node:assert/strict';
import { ManualClock } from '#runtime/clock.ts';
import { createLogger } from '#runtime/log.ts';
import { startApiServer, type ApiServer } from '../../apiserver/server.ts';
import { startControllers } from '../controllers.ts';
import { PretendKubelet } from './pretend-kubelet.ts';
import { timeOf } from '../controller.ts';
import type { Deployment, Kinds, Pod, Resource } from '../resources.ts';
import { ServedTypes } from '../served-types.ts';
import { typedClient, type Draft, type TypedClient } from '../typed-client.ts';

const TURNS_QUIET = 25;
const TURNS_MAX = 20_000;

/** All controllers on a real API server with a pretended node, under a clock that stands still. Namespace `demo` exists. */
export class TestCluster implements AsyncDisposable {
  readonly clock: ManualClock;
  readonly server: ApiServer['client'];
  readonly client: TypedClient;
  readonly kubelet: PretendKubelet;
  readonly #api: ApiServer;
  readonly #parts: readonly Disposable[];
  #changes = 0;

  private constructor(api: ApiServer, clock: ManualClock) {
    this.#api = api;
    this.clock = clock;
    this.server = api.client;
    this.client = typedClient(api.client);
    this.kubelet = new PretendKubelet(api.client, clock);
    const log = createLogger('test', 'silent');
    const served = new ServedTypes(api.client);
    const count = (): void => void (this.#changes += 1);
    this.#parts = [
      served,
      served.watchAll({ apply: count, delete: count }),
      startControllers(api.client, { caCertificate: 'CA', clock, log }),
    ];
  }

  static async start(): Promise<TestCluster> {
    const clock = new ManualClock();
    const api = await startApiServer({ log: createLogger('test', 'silent'), nowMs: () => clock.now() });
    const cluster = new TestCluster(api, clock);
    await cluster.server.create('namespaces', { metadata: { name: 'demo' } });
    await cluster.addNode('node-1', { 'topology.kubernetes.io/zone': 'here' });
    await cluster.settle();
    return cluster;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const part of this.#parts) part[Symbol.dispose]();
    this.kubelet[Symbol.dispose]();
    await this.#api.close();
  }

  async addNode(name: string, labels: Record<string, string> = {}, spec: object = {}): Promise<void> {
    await this.server.create('nodes', { metadata: { name, labels }, spec });
  }

  /** Waits until nothing changes any more while time stands still. */
  async settle(): Promise<void> {
    let changes = this.#changes;
    for (let turns = 0, quiet = 0; quiet < TURNS_QUIET; turns += 1) {
      assert.ok(turns < TURNS_MAX, 'the cluster never comes to rest');
      await new Promise((resolve) => setImmediate(resolve));
      // Retries after conflicts wait a few milliseconds of the clock.
      this.clock.advance(0);
      quiet = this.#changes === changes && this.kubelet.isIdle ? quiet + 1 : 0;
      changes = this.#changes;
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

  /** Messages of the Events with this reason, in the order in which they came up. */
  messages(reason: string): readonly string[] {
    return this.client
      .list('events')
      .filter((event) => event.reason === reason)
      .sort(
        (a, b) => timeOf(a.metadata.creationTimestamp) - timeOf(b.metadata.creationTimestamp) || serial(a) - serial(b),
      )
      .map(({ message = '' }) => message);
  }
}

/** A stored object's age among others: events that are counted up get newer, but no test here asks about those. */
function serial({ metadata }: { metadata: { resourceVersion: string } }): number {
  return Number(metadata.resourceVersion);
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
