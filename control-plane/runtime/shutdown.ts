import type { Logger } from './log.ts';

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/**
 * Runs `drain` once on SIGTERM or SIGINT and ends the process when it is done, at the latest after `graceMs`.
 * A second signal ends the process at once.
 */
export function onShutdown(log: Logger, graceMs: number, drain: () => Promise<void>): void {
  let isDraining = false;
  const begin = (signal: string): void => {
    if (isDraining) process.exit(1);
    isDraining = true;
    log.info({ signal }, 'shutting down');
    setTimeout(() => {
      log.warn({ graceMs }, 'grace period is over, ending with work in flight');
      process.exit(1);
    }, graceMs).unref();
    drain().then(
      () => process.exit(0),
      (error: unknown) => {
        log.error({ err: error }, 'drain failed');
        process.exit(1);
      },
    );
  };
  for (const signal of SIGNALS) process.on(signal, () => begin(signal));
}
