import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readDestinationConfig } from './config.ts';

test('every bad setting is reported', () => {
  const bad = {
    TULLE_CLUSTER_NETWORKS: '10.0.0.0/99',
    TULLE_OPAQUE_PORTS: 'http',
    TULLE_DEFAULT_INBOUND_POLICY: 'none',
    TULLE_H2_UPGRADE: 'yes',
  };
  assert.throws(
    () => readDestinationConfig(bad),
    (error: unknown) => error instanceof Error && Object.keys(bad).every((key) => error.message.includes(key)),
  );
});

test('settings and metrics in the documentation are those in the code', () => {
  for (const folder of ['identity', 'destination']) {
    const read = (file: string): string => readFileSync(join(import.meta.dirname, '..', folder, file), 'utf8');
    const readme = read('README.md');
    const settings = (text: string, pattern: RegExp): readonly string[] =>
      [...new Set([...text.matchAll(pattern)].map(([, key = '']) => key))].sort();
    assert.deepEqual(
      settings(readme, /`(TULLE_[A-Z0-9_]+)`/g),
      settings(read('config.ts'), /'(TULLE_[A-Z0-9_]+)'/g),
      folder,
    );
    for (const name of settings(read('metrics.ts'), /(?:name: |gauge\()'([a-z0-9_]+)'/g)) {
      assert.ok(readme.includes(`\`${name}`), `${folder}/README.md lacks ${name}`);
    }
  }
});
