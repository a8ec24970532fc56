// redirect-agent: one on each node redirects the pods that may not do it themselves, since they have no NET_ADMIN.
import { collectDefaultMetrics, Registry } from 'prom-client';
import { startAdmin } from '#runtime/admin.ts';
import { createLogger, LOG_LEVELS, type Logger } from '#runtime/log.ts';
import { onShutdown } from '#runtime/shutdown.ts';

const ADMIN_PORT = 9993;
const PROC = '/proc';
/** By hostPID the first process is the node's. */
const HOST_NETNS = '/proc/1/ns/net';
const DRAIN_MS = 1_000;

/** Imports late, so that a machine on which the native addon does not load gets a sentence and not a stack trace. */
async function main(log: Logger): Promise<void> {
  const { inNetns } = await import('#netlink/namespace.ts');
  const { isRedirected } = await import('../program.ts');
  const { RedirectAgent } = await import('./agent.ts');
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  // What it is for, as a trial that changes nothing: a missing right is better found now than by the first pod.
  try {
    inNetns(HOST_NETNS, isRedirected);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    log.fatal(
      `cannot enter other network namespaces (${reason}): the pod needs hostPID and a privileged container, as the manifest has them`,
    );
    process.exit(1);
  }
  const agent = new RedirectAgent({ log, registry, procFolder: PROC, hostNetns: HOST_NETNS });
  const admin = await startAdmin({ port: ADMIN_PORT, registry, notReady: () => [] });
  onShutdown(log, DRAIN_MS, async () => {
    agent.stop();
    admin.close();
  });
  agent.start();
  log.info('pods of this node that wait for it are redirected to their proxies');
}

const log = createLogger(
  'redirect-agent',
  LOG_LEVELS.find((level) => level === process.env['TULLE_LOG_LEVEL']),
);
main(log).catch((error: unknown) => {
  log.fatal({ err: error }, 'cannot start');
  process.exit(1);
});
