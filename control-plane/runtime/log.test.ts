import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

function logged(format: string): string {
  const module = JSON.stringify(new URL('log.ts', import.meta.url).href);
  const program = `import { createLogger } from ${module};
    createLogger('proxy', 'info', '${format}').warn({ port: 80, token: 'secret' }, 'two words');`;
  return spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' }).stderr;
}

test('a log is JSON, or lines for people, without secrets either way', () => {
  const { time, ...line } = JSON.parse(logged('json')) as Record<string, unknown>;
  assert.ok(typeof time === 'string');
  assert.deepEqual(line, { level: 'warn', component: 'proxy', message: 'two words', port: 80, token: '[redacted]' });
  assert.match(logged('plain'), /^\d{4}-\S+Z WARN proxy: two words port=80 token="\[redacted\]"\n$/);
});
