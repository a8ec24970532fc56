import { closeSync, openSync, stat } from 'node:fs';

import { checked, libc } from './libc.ts';

const CLONE_NEWNET = 0x40000000;
/** Not /proc/self: a thread has a network namespace of its own, and libuv's other threads stay where they are. */
const THREAD_NETNS = '/proc/thread-self/ns/net';

let isThreadPoolStarted = false;

/**
 * Runs `fn` with the calling thread inside another network namespace. Sockets and processes made there stay there.
 *
 * `fn` must do its work before it returns: `server.listen(port)` without a host name, `child_process.spawn`,
 * `openTcpSocket` and netlink sockets do. `net.connect` does not (its socket is made on the next tick, at home), and
 * nothing that runs on another thread does (file system promises, DNS).
 *
 * @param netns  a path such as `/proc/<pid>/ns/net`, or an open descriptor of a namespace
 * @throws SystemCallError  EPERM without CAP_SYS_ADMIN over the namespace, EINVAL if it is not a network namespace
 */
export function inNetns<T>(netns: string | number, fn: () => T): T {
  startThreadPool();
  const home = openSync(THREAD_NETNS, 'r');
  try {
    const target = typeof netns === 'number' ? netns : openSync(netns, 'r');
    try {
      checked('setns', libc.setns(target, CLONE_NEWNET));
    } finally {
      if (target !== netns) closeSync(target);
    }
    try {
      return fn();
    } finally {
      // Going on in the wrong namespace would send traffic to wrong places.
      if (libc.setns(home, CLONE_NEWNET) < 0) process.abort();
    }
  } finally {
    closeSync(home);
  }
}

/**
 * Makes a network namespace. It lives as long as the returned descriptor, a process in it or a mount of it.
 * Its only link is `lo`, which is down.
 */
export function createNetns(): number {
  return inNetns(THREAD_NETNS, () => {
    checked('unshare(CLONE_NEWNET)', libc.unshare(CLONE_NEWNET));
    return openSync(THREAD_NETNS, 'r');
  });
}

/** Threads inherit the namespace of the thread that starts them, and libuv starts its pool at the first use. */
function startThreadPool(): void {
  if (isThreadPoolStarted) return;
  isThreadPoolStarted = true;
  stat('/', () => {});
}
