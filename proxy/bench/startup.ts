import { setTimeout as sleep } from 'node:timers/promises';
import { inNetns } from '#netlink/namespace.ts';
import { openTcpSocket } from '#netlink/tcp-socket.ts';
import { median } from './measure.ts';
import type { Outbound, Pair } from './pair.ts';
import type { Place } from './place.ts';

/** How long the outbound proxy of a pair takes from its start, ms: medians of several. */
export type StartUp = {
  readonly pair: string;
  readonly listening: number;
  readonly ready: number | undefined; // absent: it does not tell
  readonly answered: number; // the first request is answered, over mutual TLS
};

const POLL_MS = 4; // often enough, and not so often that it is in the way
const PATIENCE_MS = 20_000;

/** Ends the outbound proxy of a pair, and starts it several times anew. The last one stays. */
export async function measureStartUp(pair: Pair, outbound: Outbound, times: number): Promise<StartUp> {
  const { place } = pair;
  const { listen, ready } = outbound;
  const service = { host: pair.host, port: pair.ports.http ?? 0 };
  let [leader] = pair.pids.out;
  const samples: { listening: number; ready: number | undefined; answered: number }[] = [];
  for (let time = 0; time < times; time += 1) {
    if (leader !== undefined) await place.end(leader);
    const startMs = performance.now();
    leader = outbound.start().pid;
    const listening = await until(startMs, () => connects(place, listen));
    const [readyAfter, answered] = await Promise.all([
      ready && until(startMs, () => answers(place, ready, ready.path)),
      until(startMs, () => answers(place, service, '/s')),
    ]);
    samples.push({ listening, ready: readyAfter, answered });
  }
  const middle = (value: (sample: (typeof samples)[number]) => number): number => median(samples.map(value));
  return {
    pair: pair.name,
    listening: middle((one) => one.listening),
    ready: ready && middle((one) => one.ready ?? NaN),
    answered: middle((one) => one.answered),
  };
}

async function until(startMs: number, holds: () => Promise<boolean>): Promise<number> {
  while (!(await holds())) {
    if (performance.now() - startMs > PATIENCE_MS) throw new Error(`a proxy does not serve after ${PATIENCE_MS} ms`);
    await sleep(POLL_MS);
  }
  return performance.now() - startMs;
}

type Target = { readonly host: string; readonly port: number };

function connects(place: Place, target: Target): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = inNetns(place.client.netns, () => openTcpSocket(false)).connect(target);
    socket.once('error', () => resolve(false));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}

/** Whether a GET is answered 200. */
function answers(place: Place, { host, port }: Target, path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = inNetns(place.client.netns, () => openTcpSocket(false)).connect({ host, port });
    let answer = '';
    socket.on('error', () => {});
    socket.once('close', () => resolve(answer.startsWith('HTTP/1.1 200')));
    socket.on('data', (data: Buffer) => {
      answer += data.toString('latin1');
      if (answer.length > 12) socket.destroy();
    });
    socket.write(`GET ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`);
  });
}
