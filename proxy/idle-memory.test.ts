import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { NODE_FLAGS } from '../control-plane/install/node-flags.ts';

const MODULE = JSON.stringify(new URL('idle-memory.ts', import.meta.url).href);

/** A burst of work that leaves 40 MB behind, then nothing to do. Prints the resident megabytes at its end, and the lowest later. */
const PROGRAM = `
  import { giveMemoryBackWhenIdle } from ${MODULE};
  giveMemoryBackWhenIdle();
  let kept = Array.from({ length: 400_000 }, (_, n) => ({ n, text: 'x' + n }));
  const after = process.memoryUsage.rss();
  kept = undefined;
  let lowest = after;
  const timer = setInterval(() => {
    lowest = Math.min(lowest, process.memoryUsage.rss());
    if (lowest > after - 20e6 && performance.now() < 60_000) return;
    clearInterval(timer);
    console.log(JSON.stringify([after, lowest]));
  }, 500);
`;

test('what a burst has left over is given back when nothing is to do', async () => {
  const args = [...NODE_FLAGS, '--input-type=module', '--eval', PROGRAM];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  const [after = 0, lowest = 0] = JSON.parse(stdout) as number[];
  assert.ok(lowest < after - 20e6, `${after} bytes after the burst, never less than ${lowest} later`);
});
