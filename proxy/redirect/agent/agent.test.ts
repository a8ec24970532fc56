import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Registry } from 'prom-client';
import { inNetns } from '#netlink/namespace.ts';
import { redirectTables } from '#netlink/redirect.ts';
import { Netlink } from '#netlink/socket.ts';
import { connectedHosts, describeWithNamespaces } from '#netlink/testing.ts';
import { hasChains, verifyTables } from '#netlink/verify.ts';
import { createLogger } from '#runtime/log.ts';
import { parseOptions } from '../options.ts';
import { RedirectAgent } from './agent.ts';
import { ProcessScan, waitingArguments } from './processes.ts';

const AWAIT = join(import.meta.dirname, '..', 'await', 'main.ts');
/** The entry of the image takes the name of the process away before the process reads its arguments. */
const REMOVE_NAME = `data:text/javascript,process.argv.splice(2, 1)`;
const FLAGS = ['--incoming-proxy-port=4143', '--outgoing-proxy-port=4140', '--proxy-uid=2102'];
const TABLE = { family: 1, name: 'tulle' }; // NFPROTO_INET

test('only the command line of a container that waits is one', () => {
  const line = (...words: readonly string[]): Buffer => Buffer.from(words.map((word) => `${word}\0`).join(''));
  assert.deepEqual(waitingArguments(line('/node', 'tulle.cjs', 'await-redirect', ...FLAGS)), FLAGS);
  assert.deepEqual(waitingArguments(line('/node', '--x', 'tulle.cjs', 'await-redirect')), []);
  for (const other of [
    Buffer.alloc(0),
    line('await-redirect', ...FLAGS),
    line('/node', 'tulle.cjs', 'proxy-init', ...FLAGS),
    line('/node', 'tulle.cjs', 'await-redirects', ...FLAGS),
    line('vi', ...Array.from({ length: 20 }, () => '-c'), 'await-redirect'),
    Buffer.from('/node\0tulle.cjs\0await-redirect\0--proxy-uid=21'), // cut off
    line('/node', 'tulle.cjs', 'await-redirect', '-'.repeat(70_000)),
  ])
    assert.equal(waitingArguments(other), undefined, other.toString().slice(0, 60));
});

test('young processes are looked at each time, old ones now and then', () => {
  const scan = new ProcessScan('/proc');
  const own = String(process.pid);
  const seen = (nowMs: number): boolean => scan.next(nowMs).includes(own);
  assert.deepEqual([0, 200, 9_000, 10_200, 10_400, 13_000, 14_100].map(seen), [
    true,
    true,
    true,
    false,
    false,
    false,
    true,
  ]);
});

describeWithNamespaces(import.meta.filename, () => {
  const [pod, peer] = connectedHosts();
  const lines: string[] = [];
  const log = createLogger('test', 'silent');
  for (const level of ['info', 'warn', 'error'] as const)
    log[level] = (...parts: readonly unknown[]) => void lines.push(`${level} ${JSON.stringify(parts)}`);
  const registry = new Registry();
  const agent = new RedirectAgent({ log, registry, procFolder: '/proc', hostNetns: '/proc/thread-self/ns/net' });
  const children: ChildProcess[] = [];
  after(() => {
    agent.stop();
    for (const child of children) child.kill('SIGKILL');
  });
  /** A container that waits, in the pod or with the network of the node. */
  const wait = (flags: readonly string[], isInPod = true, host = peer.ipv4): ChildProcess => {
    const start = (): ChildProcess =>
      // As in the image: the name of the process comes before its flags.
      spawn(process.execPath, ['--import', REMOVE_NAME, AWAIT, 'await-redirect', ...flags], {
        stdio: ['ignore', 'ignore', 'pipe'],
        env: { KUBERNETES_SERVICE_HOST: host },
      });
    const child = isInPod ? inNetns(pod.netns, start) : start();
    children.push(child);
    return child;
  };
  const until = async (what: string, isTrue: () => boolean): Promise<void> => {
    for (let tries = 0; !isTrue(); tries += 1) {
      assert.ok(tries < 300, what);
      await new Promise((resolve) => void setTimeout(resolve, 100));
    }
  };
  const has = (netns?: number): boolean => {
    using netfilter = netns === undefined ? new Netlink('netfilter') : new Netlink('netfilter', netns);
    return hasChains(netfilter, TABLE);
  };

  test('a pod waits until the agent comes; then it is redirected as its flags say', async () => {
    const child = wait([...FLAGS, '--inbound-ports-to-ignore', '4191,9000-9010']);
    const [told] = (await once(child.stderr!, 'data')) as [Buffer];
    assert.match(told.toString(), /"level":"warn".*still waiting: the pod of DaemonSet tulle-cni on this node/);
    assert.equal(child.exitCode, null);
    const ended = once(child, 'exit');
    agent.start();
    assert.deepEqual(await ended, [0, null]);
    using netfilter = new Netlink('netfilter', pod.netns);
    const options = parseOptions([...FLAGS, '--inbound-ports-to-ignore=4191,9000-9010']);
    assert.deepEqual(verifyTables(netfilter, redirectTables(options)), []);
    assert.match(lines.join('\n'), /info .*"inboundSkip":"4191,9000-9010".*redirected to its proxy/);
  });

  test('IPv6 is enough to find out', async () => {
    assert.deepEqual(await once(wait(FLAGS, true, peer.ipv6), 'exit'), [0, null]);
  });

  test('who asks later changes nothing', async () => {
    const skipsAll = [...FLAGS, '--outbound-ports-to-ignore', '1-20000'];
    assert.deepEqual(await once(wait(skipsAll), 'exit'), [0, null]);
    using netfilter = new Netlink('netfilter', pod.netns);
    const options = parseOptions([...FLAGS, '--inbound-ports-to-ignore=4191,9000-9010']);
    assert.deepEqual(verifyTables(netfilter, redirectTables(options)), []);
  });

  test('the network of the node is never redirected, and flags that are no good are named', async () => {
    const before = has();
    wait(FLAGS, false, '127.0.0.2');
    await until('a refusal', () => lines.some((line) => /waits in vain .*the network of the node/.test(line)));
    assert.equal(has(), before);
    const bad = wait(['--incoming-proxy-port=4143']);
    assert.deepEqual(await once(bad, 'exit'), [64, null]);
    assert.match(await registry.metrics(), /redirect_agent_pods_total\{result="refused"\} 1/);
  });
});
