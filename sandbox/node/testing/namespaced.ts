import { spawn, spawnSync } from 'node:child_process';
import assert from 'node:assert/strict';
import { test } from 'node:test';

/** Tells the inner run that it is inside. */
const INSIDE = 'TULLE_TEST_IN_NAMESPACES';
const INNER_MS_MAX = 240_000;
const NAMESPACES = ['--net', '--mount', '--uts', '--pid', '--fork', '--kill-child', '--mount-proc'];

/**
 * Runs the tests that `define` declares in private user (unless root), network, mount, UTS and pid namespaces: the test
 * file starts itself again in there. Where the kernel forbids that, the tests are skipped and say so.
 *
 * @param file  path of the calling test file
 */
export function inNamespaces(file: string, define: () => void): void {
  // oxlint-disable-next-line node/no-process-env -- how the inner run of a test file knows what it is
  if (process.env[INSIDE] !== undefined) {
    define();
    return;
  }
  const variants = process.getuid?.() === 0 ? [[], ['--user', '--map-root-user']] : [['--user', '--map-root-user']];
  for (const user of variants) {
    const flags = [...user, ...NAMESPACES];
    const probe = spawnSync('unshare', [...flags, 'true'], { encoding: 'utf8' });
    const isForbidden = probe.status !== 0;
    const name = `in private namespaces ${user.length === 0 ? 'of root' : 'of an ordinary user'}`;
    const skip = isForbidden ? `SKIPPED: no namespaces here: ${probe.stderr ?? String(probe.error)}` : false;
    test(name, { skip }, () => runInside(flags, file));
  }
}

async function runInside(flags: readonly string[], file: string): Promise<void> {
  // oxlint-disable-next-line node/no-process-env -- the inner run gets what this one got
  const environment: NodeJS.ProcessEnv = { ...process.env, [INSIDE]: '1' };
  delete environment['NODE_TEST_CONTEXT'];
  const child = spawn('unshare', [...flags, process.execPath, '--test-reporter=spec', '--test-force-exit', file], {
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const { promise, resolve } = Promise.withResolvers<number | null>();
  child.once('close', resolve);
  const timer = setTimeout(() => child.kill('SIGKILL'), INNER_MS_MAX);
  const code = await promise;
  clearTimeout(timer);
  assert.equal(code, 0, `the tests inside failed:\n${output}`);
}
