import type { LocalClient } from '../../apiserver/local-client.ts';
import { timestamp } from '../controller.ts';
import { nodeOf } from '../daemonset/node-fit.ts';
import type { Clock } from '#runtime/clock.ts';
import type { Condition, Pod, PodStatus } from '../resources.ts';
import { typedClient } from '../typed-client.ts';

/** For tests of controllers: schedules pods, says they run and are ready, and lets deleted ones go. */
export class PretendKubelet implements Disposable {
  /** What becomes of a pod that was scheduled; undefined leaves it pending for now. Asked again after every change of the pod. */
  outcome: (pod: Pod) => 'Ready' | 'Unready' | 'Succeeded' | 'Failed' | undefined = () => 'Ready';
  /** Whether a deleted pod may go now. */
  mayGo: (pod: Pod) => boolean = () => true;
  /** Called after every step, with the cluster as it is then. */
  afterStep: () => void = () => {};
  readonly #local: LocalClient;
  readonly #client;
  readonly #clock: Clock;
  readonly #watch: Disposable;
  readonly #addresses = new Map<string, string>();
  #busy = 0;

  constructor(client: LocalClient, clock: Clock) {
    this.#local = client;
    this.#client = typedClient(client);
    this.#clock = clock;
    this.#watch = this.#client.watch('pods', {
      apply: (pod) => this.#later(pod),
      delete: () => this.afterStep(),
    });
  }

  get isIdle(): boolean {
    return this.#busy === 0;
  }

  /** Looks at every pod again, after `outcome` or `mayGo` changed. */
  look(): void {
    for (const pod of this.#client.list('pods')) this.#later(pod);
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
  }

  #later(pod: Pod): void {
    this.#busy += 1;
    setImmediate(() => {
      this.#step(pod.metadata.namespace ?? '', pod.metadata.name).then(
        () => {
          this.#busy -= 1;
          this.afterStep();
        },
        () => {
          // Somebody else was faster; look once more.
          this.#busy -= 1;
          this.#later(pod);
        },
      );
    });
  }

  async #step(namespace: string, name: string): Promise<void> {
    const pod = this.#client.get('pods', namespace, name);
    if (pod === undefined) return;
    if (pod.metadata.deletionTimestamp !== undefined) {
      if (!this.mayGo(pod)) return;
      const isFinished = pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
      if (!isFinished) await this.#setStatus(pod, { ...pod.status, phase: 'Succeeded', conditions: [] });
      await this.#client.delete('pods', namespace, name, { gracePeriodSeconds: 0, uid: pod.metadata.uid });
      return;
    }
    if (pod.spec.nodeName === undefined) {
      const binding = { spec: { nodeName: nodeOf(pod.spec) ?? 'node-1' } };
      await this.#local.patch('pods', namespace, name, 'merge', binding, 'binding');
      return;
    }
    if (pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') return;
    const outcome = this.outcome(pod);
    if (outcome === undefined) {
      if (pod.status?.phase === undefined) await this.#setStatus(pod, { phase: 'Pending' });
      return;
    }
    await this.#setStatus(pod, this.#statusFor(pod, outcome));
  }

  #statusFor(pod: Pod, outcome: 'Ready' | 'Unready' | 'Succeeded' | 'Failed'): PodStatus {
    const podIP = this.#addressOf(pod.metadata.uid);
    const status = outcome === 'Ready' ? 'True' : 'False';
    const before = pod.status?.conditions?.find((condition) => condition.type === 'Ready');
    const since = before?.status === status ? before.lastTransitionTime : undefined;
    const ready: Condition = {
      type: 'Ready',
      status,
      lastTransitionTime: since ?? timestamp(this.#clock.now()),
    };
    const phase = outcome === 'Succeeded' || outcome === 'Failed' ? outcome : 'Running';
    return { phase, podIP, podIPs: [{ ip: podIP }], conditions: [ready] };
  }

  #addressOf(uid: string): string {
    const count = this.#addresses.size;
    const address = this.#addresses.get(uid) ?? `10.42.${count >> 8}.${count & 255}`;
    this.#addresses.set(uid, address);
    return address;
  }

  async #setStatus(pod: Pod, status: PodStatus): Promise<void> {
    if (JSON.stringify(pod.status) === JSON.stringify(status)) return;
    await this.#client.update('pods', { ...pod, status }, 'status');
  }
}
