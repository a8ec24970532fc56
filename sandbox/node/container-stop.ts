import type { V1LifecycleHandler } from '@kubernetes/client-node';

import type { Instance } from './container-slot.ts';
import { Deadline } from './deadline.ts';
import { runHook } from './hooks.ts';
import type { CheckResult, CheckTarget } from './probe-check.ts';

/** A container always gets this long between SIGTERM and SIGKILL, unless it is to go at once. */
export const MIN_GRACE_MS = 2000;

/**
 * Ends a container: preStop hook, SIGTERM, and SIGKILL at the deadline.
 *
 * @param target  absent once the pod has no network: hooks are skipped
 * @returns the failure of the hook, if it failed
 */
export async function stopContainer(
  instance: Instance,
  preStop: V1LifecycleHandler | undefined,
  target: CheckTarget,
  deadline: Deadline,
): Promise<Extract<CheckResult, { isHealthy: false }> | undefined> {
  const { process } = instance;
  let failure: CheckResult = { isHealthy: true };
  const isForced = deadline.remainingMs === 0;
  if (preStop !== undefined && !isForced) {
    const exited = new AbortController();
    void process.exited.then(() => exited.abort());
    const hook = runHook(preStop, target, deadline.remainingMs, AbortSignal.any([deadline.signal, exited.signal]));
    failure = (await Promise.race([hook, deadline.reached, process.exited.then(() => undefined)])) ?? failure;
  }
  process.signal('SIGTERM');
  const leastMs = Date.now() + MIN_GRACE_MS;
  await Promise.race([process.exited, deadline.reached]);
  if (process.isRunning && !isForced) {
    // The hook may have used up the time; the program itself has had little of it.
    using rest = new Deadline(leastMs);
    await Promise.race([process.exited, rest.reached]);
  }
  process.kill();
  await process.exited;
  return failure.isHealthy ? undefined : failure;
}
