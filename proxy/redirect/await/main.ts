// await-redirect: holds a pod back until the agent of its node has redirected its TCP connections. It cannot do that itself: it
// has no capability. The agent finds it by its command line and reads there what to do.
import { createLogger, type Logger } from '#runtime/log.ts';
import { parseOptions, UsageError } from '../options.ts';
import { isCaptured, portToTry } from './capture.ts';

const EXIT_USAGE = 64;
const EXIT_TERMINATED = 143;
const TRY_EVERY_MS = 200;
const TELL_AFTER_MS = 3_000;
const TELL_EVERY_MS = 30_000;
/** For documentation (RFC 5737): nobody has it. */
const NOBODY = '192.0.2.1';

async function main(log: Logger, args: readonly string[], host: string): Promise<number> {
  const options = parseOptions(args);
  const target = { host, port: portToTry(options) };
  const startedAtMs = performance.now();
  let toldMs = startedAtMs + TELL_AFTER_MS - TELL_EVERY_MS;
  while (!(await isCaptured(options.outboundPort, target))) {
    const nowMs = performance.now();
    if (nowMs - toldMs >= TELL_EVERY_MS) {
      toldMs = nowMs;
      log.warn(
        { waitedSeconds: Math.round((nowMs - startedAtMs) / 1000) },
        'still waiting: the pod of DaemonSet tulle-cni on this node redirects connections; `tulle check` says whether it runs, and its log why not',
      );
    }
    await new Promise((resolve) => void setTimeout(resolve, TRY_EVERY_MS));
  }
  log.info({ waitedMs: Math.round(performance.now() - startedAtMs) }, "the pod's TCP connections are redirected");
  return 0;
}

const log = createLogger('await-redirect');
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(EXIT_TERMINATED));
main(log, process.argv.slice(2), process.env['KUBERNETES_SERVICE_HOST'] ?? NOBODY).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    if (error instanceof UsageError) log.fatal(error.message);
    else log.fatal({ err: error }, 'cannot find out whether connections are redirected');
    process.exitCode = error instanceof UsageError ? EXIT_USAGE : 1;
  },
);
