import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { KUBECTL_YAML } from './kubectl-yaml.ts';

test('YAML means what kubectl takes it for', () => {
  const text = '[e1, E2, -e3, .e4, 12:30, 12:30:45, 2026-01-02, 1e3, .5e1, 1.5, 010, 0x10, yes, n, on, ~, "1", 1.2.3]';
  const texts = ['e1', 'E2', '-e3', '.e4', '12:30', '12:30:45', '2026-01-02'];
  const others = [1000, 5, 1.5, 8, 16, true, false, true, null, '1', '1.2.3'];
  assert.deepEqual(parse(text, KUBECTL_YAML), [...texts, ...others]);
});
