import { isDeepStrictEqual } from 'node:util';

import type { Logger } from '#runtime/log.ts';

import type { LocalClient } from '../apiserver/local-client.ts';
import { StatusError } from '../apiserver/status-error.ts';
import { asPod, namespaceOf, type Pod, type PodStatus } from './pod.ts';

const RETRY_MS = 500;
const CONFLICTS_MAX = 50;

/** Writes the status of one pod, only when it differs, always from the latest state. */
export class StatusWriter {
  readonly #client: LocalClient;
  readonly #log: Logger;
  readonly #pod: Pod;
  readonly #make: (current: Pod) => PodStatus;
  #isDirty = false;
  #running: Promise<void> | undefined;
  #sent: PodStatus | undefined;
  #stored: unknown;
  #isClosed = false;

  /** @param make  the status that the pod has now, given the object in the store */
  constructor(client: LocalClient, log: Logger, pod: Pod, make: (current: Pod) => PodStatus) {
    this.#client = client;
    this.#log = log;
    this.#pod = pod;
    this.#make = make;
  }

  /** Something may have changed. Calls while a write is under way become one more write. */
  touch(): void {
    if (this.#isClosed) return;
    this.#isDirty = true;
    this.#running ??= this.#run().finally(() => (this.#running = undefined));
  }

  /** Resolves when what is known now is written, or the pod is gone. */
  async flush(): Promise<void> {
    this.touch();
    while (this.#running !== undefined) await this.#running;
  }

  /** Nothing is written any more, whatever happens. */
  close(): void {
    this.#isClosed = true;
    this.#isDirty = false;
  }

  async #run(): Promise<void> {
    for (let conflicts = 0; this.#isDirty && conflicts < CONFLICTS_MAX;) {
      this.#isDirty = false;
      try {
        await this.#writeOnce();
      } catch (error) {
        if (error instanceof StatusError && error.code === 404) return;
        this.#isDirty = !this.#isClosed;
        conflicts += 1;
        if (error instanceof StatusError && error.code === 409) continue;
        this.#log.warn({ err: error, pod: this.#pod.metadata.name }, 'the status of a pod was not written');
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  async #writeOnce(): Promise<void> {
    const { name, uid } = this.#pod.metadata;
    const found = this.#client.get('pods', namespaceOf(this.#pod), name);
    if (found === undefined || found.metadata.uid !== uid) return;
    const current = asPod(found);
    const status = this.#make(current);
    if (isDeepStrictEqual(status, current.status)) return;
    // What the server made of the same status before is as good.
    if (isDeepStrictEqual(status, this.#sent) && isDeepStrictEqual(current.status, this.#stored)) return;
    const stored = await this.#client.update('pods', { ...current, status }, 'status');
    this.#sent = status;
    this.#stored = stored['status'];
  }
}
