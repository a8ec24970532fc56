import { WorkQueue } from '#runtime/work-queue.ts';
import { deleteExactly, timeOf, type ControllerContext } from './controller.ts';
import type { Event } from './resources.ts';

/** Events are kept for an hour after they last happened. */
export const EVENT_MS_MAX = 3_600_000;
const SWEEP_MS = 60_000;

/** Deletes old Events once a minute, as etcd's leases do in a real cluster. */
export function startEventExpiry(context: ControllerContext): Disposable {
  const { client, clock, log } = context;
  const queue = new WorkQueue({
    clock,
    onError: (_key, error) => log.warn({ controller: 'event-expiry', err: error }, 'sweep failed, will try again'),
    async reconcile() {
      const old = client.list('events').filter((event) => clock.now() - lastSeen(event) > EVENT_MS_MAX);
      for (const event of old) await deleteExactly(client, 'events', event);
      return SWEEP_MS;
    },
  });
  queue.add('sweep');
  return queue;
}

function lastSeen({ metadata, lastTimestamp, eventTime }: Event): number {
  const times = [lastTimestamp, eventTime, metadata.creationTimestamp].map(timeOf);
  return Math.max(...times.filter((time) => !Number.isNaN(time)));
}
