import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { inNetns } from '#netlink/namespace.ts';
import { openTcpSocket } from '#netlink/tcp-socket.ts';

const PORT = 9229; // of Node's inspector
const PATIENCE_MS = 10_000;

/** What V8 and Node say of a process after a collection of garbage, bytes. */
export type HeapUse = { readonly heapUsed: number; readonly external: number; readonly arrayBuffers: number };

/**
 * Collects the garbage of a Node process with `--expose-gc` and asks for its heap, by the inspector that SIGUSR1 opens in any: nothing
 * has to be built into it.
 *
 * @param netns  network namespace of the process
 * @throws Error  when the inspector does not answer
 */
export async function collectAndMeasure(pid: number, netns: number): Promise<HeapUse> {
  process.kill(pid, 'SIGUSR1');
  const deadlineMs = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await evaluate(netns, await debuggerUrl(netns));
    } catch (error) {
      if (performance.now() > deadlineMs) throw new Error(`the inspector of ${pid} does not answer`, { cause: error });
      await sleep(100);
    }
  }
}

function connectIn(netns: number) {
  return inNetns(netns, () => openTcpSocket(false)).connect({ host: '127.0.0.1', port: PORT });
}

function debuggerUrl(netns: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ path: '/json/list', createConnection: () => connectIn(netns) }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('error', reject);
      response.on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => {
        const url = /"webSocketDebuggerUrl": "([^"]+)"/.exec(text)?.[1];
        if (url === undefined) reject(new Error(`no inspector: ${text}`));
        else resolve(url);
      });
    });
    asked.setTimeout(PATIENCE_MS, () => asked.destroy(new Error('no answer')));
    asked.on('error', reject);
    asked.end();
  });
}

function evaluate(netns: number, url: string): Promise<HeapUse> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { createConnection: () => connectIn(netns), handshakeTimeout: PATIENCE_MS });
    const timer = setTimeout(() => socket.terminate(), PATIENCE_MS);
    const expression = 'gc(); gc(); process.memoryUsage()';
    socket.on('open', () =>
      socket.send(JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression, returnByValue: true } })),
    );
    socket.on('message', (data: Buffer) => {
      const { result } = JSON.parse(data.toString()) as { result?: { result?: { value?: HeapUse } } };
      const use = result?.result?.value;
      if (use === undefined) reject(new Error(`the inspector said ${data.toString()}`));
      else resolve(use);
      socket.close();
    });
    socket.on('error', reject);
    socket.on('close', () => {
      clearTimeout(timer);
      reject(new Error('the inspector closed the connection'));
    });
  });
}
