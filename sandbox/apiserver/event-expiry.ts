import type { KubeObject } from './object.ts';
import type { Store } from './store.ts';

const EVENT_LIFETIME_MS = 3600_000;
const EVENTS_MAX = 5000;
const SWEEP_PERIOD_MS = 60_000;

/** Removes Events an hour after they last happened, and the oldest of too many: nothing else ever deletes them. */
export function expireEvents(store: Store, nowMs: () => number): Disposable {
  const timer = setInterval(() => sweepEvents(store, nowMs()), SWEEP_PERIOD_MS).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

export function sweepEvents(store: Store, nowMs: number): void {
  const byAge = [...store.list('events')].sort((a, b) => lastSeenMs(a) - lastSeenMs(b));
  const surplus = byAge.length - EVENTS_MAX;
  for (const [index, event] of byAge.entries()) {
    if (index >= surplus && lastSeenMs(event) > nowMs - EVENT_LIFETIME_MS) return;
    store.remove('events', event);
  }
}

function lastSeenMs(event: KubeObject): number {
  const times = [event['lastTimestamp'], event['eventTime'], event.metadata.creationTimestamp];
  const known = times.map((time) => (typeof time === 'string' ? Date.parse(time) : Number.NaN));
  return known.find((time) => !Number.isNaN(time)) ?? 0;
}
