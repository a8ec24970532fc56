import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PROXY_ERROR_STATUS } from './errors.ts';

const README = readFileSync(join(import.meta.dirname, 'README.md'), 'utf8');

test('the documentation lists the error codes with the status they have', () => {
  const documented = [...README.matchAll(/^\| `([a-z0-9-]+)` \| (\d{3}) \|/gm)].map(([, code, status]) => [
    code,
    Number(status),
  ]);
  assert.deepEqual(Object.fromEntries(documented), { ...PROXY_ERROR_STATUS });
});

test('the documentation lists the configuration keys that are read', () => {
  const config = readFileSync(join(import.meta.dirname, 'config.ts'), 'utf8');
  const table = README.slice(README.indexOf('## Configuration'), README.indexOf('## Errors'));
  const keys = [...config.matchAll(/\/\/ ([A-Z][A-Z0-9_, ]+)(?:;|$)/gm)].flatMap(([, names = '']) => names.split(', '));
  const listenKeys = ['CONTROL_LISTEN_ADDR'];
  for (const key of [...keys, ...listenKeys]) {
    const isListed =
      table.includes(`\`${key}\``) || (key.endsWith('_NAME') && table.includes(key.replace(/_NAME$/, '_ADDR')));
    assert.ok(isListed, `${key} is not in README.md`);
  }
  assert.ok(keys.length > 30);
});
