// What tests need to work in network namespaces of their own, as root and as an ordinary user. Not part of a process.
import { spawnSync } from 'node:child_process';
import { basename } from 'node:path';
import { test } from 'node:test';

import { addAddress, addRoute, addVeth, awaitLink, linkIndex, LOOPBACK_INDEX, startLink } from './links.ts';
import { createNetns } from './namespace.ts';
import { Netlink } from './socket.ts';

// oxlint-disable node/no-process-env -- a test run, not a process of ours
const MARK = 'TULLE_TEST_NAMESPACES';
const UNSHARE = ['--user', '--map-root-user', '--net', '--mount'];

/**
 * Defines tests that need rights over a network namespace. As root they run here and a second time inside a user
 * namespace, where only one id is mapped; as an ordinary user only the latter. Where the kernel or the container does
 * not allow that, they are skipped with the reason.
 *
 * @param file    the test file, `import.meta.filename`
 * @param define  calls `test`; must leave the namespace it starts in alone and use `createNetns`
 */
export function describeWithNamespaces(file: string, define: () => void): void {
  const isInside = process.env[MARK] !== undefined;
  if (isInside || process.geteuid?.() === 0) define();
  if (isInside) return;
  const skip = userNamespaceProblem() ?? false;
  test(`${basename(file)} in a user namespace`, { skip }, (t) => {
    const env: NodeJS.ProcessEnv = { ...process.env, [MARK]: '1' };
    delete env['NODE_TEST_CONTEXT']; // otherwise the inner run would report as part of this one
    const args = [...UNSHARE, process.execPath, '--disable-warning=ExperimentalWarning', '--test-reporter=spec', file];
    const run = spawnSync('unshare', args, { env, encoding: 'utf8', timeout: 120_000, killSignal: 'SIGKILL' });
    t.diagnostic(run.stdout);
    if (run.status !== 0) throw new Error(`exit status ${run.status}: ${run.stdout}${run.stderr}`);
  });
}

/** Why this process cannot make a user namespace, or undefined if it can. */
function userNamespaceProblem(): string | undefined {
  const run = spawnSync('unshare', [...UNSHARE, 'true'], { encoding: 'utf8' });
  if (run.error !== undefined) return `unshare cannot be run: ${run.error.message}`;
  return run.status === 0 ? undefined : `no user namespaces here: ${run.stderr.trim()}`;
}

/** A network namespace with `lo` up, and addresses of its own that others can reach. */
export type TestHost = { readonly netns: number; readonly ipv4: string; readonly ipv6: string };

/** Two namespaces with one link between them, on which each has an IPv4 and an IPv6 address. */
export function connectedHosts(): readonly [TestHost, TestHost] {
  const hosts = [
    { netns: createNetns(), ipv4: '10.9.9.1', ipv6: 'fd09::1' },
    { netns: createNetns(), ipv4: '10.9.9.2', ipv6: 'fd09::2' },
  ] as const;
  using left = new Netlink('route', hosts[0].netns);
  using right = new Netlink('route', hosts[1].netns);
  addVeth(left, 'eth0', { name: 'eth0', netns: hosts[1].netns });
  for (const [index, netlink] of [left, right].entries()) {
    const host = index === 0 ? hosts[0] : hosts[1];
    const peer = index === 0 ? hosts[1] : hosts[0];
    const link = linkIndex(netlink, 'eth0');
    startLink(netlink, LOOPBACK_INDEX);
    startLink(netlink, link);
    addAddress(netlink, link, host.ipv4, 24);
    addAddress(netlink, link, host.ipv6, 64);
    // Any other address is at the other host's too, for tests about original destinations.
    addRoute(netlink, { destination: '0.0.0.0', prefix: 0, gateway: peer.ipv4, link });
    addRoute(netlink, { destination: '::', prefix: 0, gateway: peer.ipv6, link });
  }
  for (const netlink of [left, right]) awaitLink(netlink, linkIndex(netlink, 'eth0'));
  return hosts;
}
