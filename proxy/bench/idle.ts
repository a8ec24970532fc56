import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { memoryOf, type Memory } from './measure.ts';
import type { Pair } from './pair.ts';

/** Memory of the outbound proxy of a pair, MiB, with connections that have sent one request each and do nothing. */
export type IdleMemory = {
  readonly pair: string;
  readonly connections: number;
  readonly before: Memory;
  readonly after: Memory;
};

/** Until what setting them up has left behind is given back, as after any burst: `proxy/idle-memory.ts`. */
const QUIET_MS = 12_000;

/**
 * Opens connections, at most as many as it takes, through a pair, and weighs its outbound proxy with them.
 *
 * @throws Error  when one of them failed, such as for lack of descriptors
 */
export async function measureIdle(pair: Pair, wanted: number): Promise<IdleMemory> {
  const { place, connectionsMax = wanted } = pair;
  const connections = Math.min(wanted, connectionsMax);
  const before = memoryOf(pair.pids.out);
  const main = join(import.meta.dirname, 'idle-load.ts');
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', main];
  const child = place.run(
    place.client,
    'load',
    [...node, pair.host, String(pair.ports.http ?? 0), String(connections)],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let complaints = '';
  child.stderr?.on('data', (data: Buffer) => {
    complaints += data.toString();
  });
  try {
    await new Promise<void>((resolve, reject) => {
      child.stdout?.once('data', () => resolve());
      child.once('close', () => reject(new Error(`${connections} connections through ${pair.name}: ${complaints}`)));
    });
    await sleep(QUIET_MS);
    return { pair: pair.name, connections, before, after: memoryOf(pair.pids.out) };
  } finally {
    child.kill('SIGKILL');
  }
}
