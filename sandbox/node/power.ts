import { createHash } from 'node:crypto';
import type { Logger } from '#runtime/log.ts';
import type { LocalClient } from '../apiserver/local-client.ts';
import type { Pod } from './pod.ts';
import type { Node } from './node.ts';

/**
 * Annotation of the Node with which somebody takes its power away. `off` does; any other value that is not the node's
 * boot id starts it again with that boot id, after a power failure where it runs. The value is also the seed of the
 * order in which pods start.
 */
const POWER_ANNOTATION = 'sandbox.tulle.dev/power';
const OFF = 'off';
/** Pods that a node finds when it starts begin within this time, as they do where images and disks are slow. */
const SPREAD_MS = 3000;

/** Has the node follow the annotation. */
export class Power implements Disposable {
  readonly #node: Pick<Node, 'losePower' | 'start'>;
  readonly #log: Logger;
  readonly #watch: Disposable;
  #bootID: string | undefined; // none: it is off
  #wanted: string | undefined;
  #isFollowing = false;

  constructor(client: LocalClient, name: string, node: Pick<Node, 'losePower' | 'start'>, log: Logger) {
    this.#node = node;
    this.#log = log;
    const { nodeInfo } = (client.get('nodes', undefined, name)?.['status'] ?? {}) as { nodeInfo?: { bootID: string } };
    this.#bootID = nodeInfo?.bootID;
    this.#watch = client.watch('nodes', {
      apply: ({ metadata }) => {
        if (metadata.name !== name) return;
        this.#wanted = metadata.annotations?.[POWER_ANNOTATION];
        void this.#follow();
      },
      delete: () => undefined,
    });
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
  }

  async #follow(): Promise<void> {
    if (this.#isFollowing) return;
    this.#isFollowing = true;
    try {
      while (this.#wanted !== undefined && this.#wanted !== (this.#bootID ?? OFF)) {
        const seed = this.#wanted;
        if (this.#bootID !== undefined) await this.#node.losePower();
        this.#bootID = undefined;
        if (seed === OFF) continue;
        this.#log.info({ seed }, 'the node starts again');
        await this.#node.start(seed, (pod) => startDelayMs(seed, pod));
        this.#bootID = seed;
      }
    } catch (error) {
      this.#log.error({ err: error }, 'the node did not follow its power');
    } finally {
      this.#isFollowing = false;
    }
  }
}

/** The same for the same seed and pod. */
function startDelayMs(seed: string, pod: Pod): number {
  const digest = createHash('sha256').update(`${seed} ${pod.metadata.uid}`).digest();
  return Math.floor((digest.readUInt32BE() / 2 ** 32) * SPREAD_MS);
}
