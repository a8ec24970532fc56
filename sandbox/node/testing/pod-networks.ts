import { PodNetworks } from '../../network/pod-network.ts';

/** The sandbox's pod networks, counting those in use. */
export class CountedNetworks implements Disposable {
  readonly #networks = new PodNetworks();
  readonly #inUse = new Set<string>();

  create(podUid: string): ReturnType<PodNetworks['create']> {
    const network = this.#networks.create(podUid);
    this.#inUse.add(podUid);
    return network;
  }

  remove(podUid: string): void {
    this.#networks.remove(podUid);
    this.#inUse.delete(podUid);
  }

  startOver(): void {
    this.#networks.startOver();
  }

  get size(): number {
    return this.#inUse.size;
  }

  [Symbol.dispose](): void {
    this.#networks[Symbol.dispose]();
  }
}
