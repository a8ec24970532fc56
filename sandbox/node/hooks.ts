import type { V1LifecycleHandler } from '@kubernetes/client-node';

import { runCheck, type CheckResult, type CheckTarget } from './probe-check.ts';

/** Runs a postStart or preStop handler. Never rejects; `signal` ends the waiting, not what was started. */
export async function runHook(
  handler: V1LifecycleHandler,
  target: CheckTarget,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<CheckResult> {
  if (handler.sleep !== undefined) return sleep(handler.sleep.seconds * 1000, signal);
  const { tcpSocket: _, ...action } = handler; // accepted by the API and without effect, as in Kubernetes
  if (action.exec === undefined && action.httpGet === undefined) return { isHealthy: true };
  return runCheck(action, target, timeoutMs);
}

async function sleep(ms: number, signal: AbortSignal): Promise<CheckResult> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  signal.addEventListener('abort', () => resolve());
  await promise;
  clearTimeout(timer);
  return { isHealthy: true };
}
