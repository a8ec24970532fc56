import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../test/harness/until.ts';
import { preflight } from './network/preflight.ts';

const problem = await preflight().then(
  () => false as const,
  (error: unknown) => String(error),
);
const STARTER = `
  const { startSandbox } = await import(${JSON.stringify(join(import.meta.dirname, 'sandbox.ts'))});
  await startSandbox();
  setInterval(() => undefined, 1_000);`;

/** Files of the state directory that appear one after the other while a sandbox starts; '' is the directory itself. */
const MOMENTS = ['', 'run', 'kubeconfig', 'ready'];

for (const moment of MOMENTS) {
  const when = moment === '' ? 'its directory' : `the file ${moment}`;
  test(`a sandbox whose parent is killed as soon as ${when} is there leaves nothing`, { skip: problem }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tulle-killed-'));
    const parent = spawn(process.execPath, ['--input-type=module', '-e', STARTER], {
      env: { ...process.env, TMPDIR: folder },
      stdio: 'ignore',
    });
    try {
      await new Promise<void>((resolve) => {
        const look = (): void => {
          const [state] = readdirSync(folder);
          if (state !== undefined && existsSync(join(folder, state, moment))) resolve();
          else setTimeout(look, 5);
        };
        look();
      });
      parent.kill('SIGKILL');
      await until('the files to be gone', 40_000, () => assert.deepEqual(readdirSync(folder), []));
    } finally {
      parent.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    }
  });
}
