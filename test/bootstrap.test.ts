import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { arch, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const PINNED = `node-linux-${arch()}`;

/** A checkout whose only package is the pinned Node, so that the real npm installs it without a registry. */
function makeCheckout(): Disposable & { readonly folder: string } {
  const folder = mkdtempSync(join(tmpdir(), 'bootstrap-'));
  cpSync(join(import.meta.dirname, '..', 'bootstrap.mjs'), join(folder, 'bootstrap.mjs'));
  const about = { name: 'checkout', version: '1.0.0', dependencies: { [PINNED]: 'file:pinned' } };
  const pinned = { name: PINNED, version: '1.0.0' };
  const packages = { '': about, pinned, [`node_modules/${PINNED}`]: { resolved: 'pinned', link: true } };
  mkdirSync(join(folder, 'pinned', 'bin'), { recursive: true });
  symlinkSync(process.execPath, join(folder, 'pinned', 'bin', 'node'));
  writeFileSync(join(folder, 'pinned', 'package.json'), JSON.stringify(pinned));
  writeFileSync(join(folder, 'package.json'), JSON.stringify(about));
  writeFileSync(join(folder, 'package-lock.json'), JSON.stringify({ ...about, lockfileVersion: 3, packages }));
  writeFileSync(join(folder, 'entry.ts'), "process.stdout.write('entry ran');");
  return { folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}

function bootstrap(folder: string): ChildProcess {
  const env = { ...process.env, npm_config_offline: 'true', npm_config_update_notifier: 'false' };
  return spawn(process.execPath, [join(folder, 'bootstrap.mjs'), 'entry.ts'], { cwd: folder, env });
}

/** @returns all that it wrote, when it ended */
function outputOf(child: ChildProcess): Promise<string> {
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (text += chunk.toString()));
  return new Promise((resolve) => child.on('close', () => resolve(text)));
}

test('of several that start after a change of the lock file one installs, and all run', async () => {
  using checkout = makeCheckout();
  const outputs = await Promise.all([1, 2, 3].map(() => outputOf(bootstrap(checkout.folder))));
  for (const output of outputs) assert.match(output, /entry ran$/);
  assert.equal(outputs.filter((output) => output.includes('installing packages')).length, 1, outputs.join('\n'));
});

test('who was killed while it installed holds nobody up', async () => {
  using checkout = makeCheckout();
  const victim = bootstrap(checkout.folder);
  await new Promise<void>((resolve) => victim.stderr?.once('data', () => resolve()));
  victim.kill('SIGKILL');
  assert.match(await outputOf(bootstrap(checkout.folder)), /installing packages[^]*entry ran$/);
});
