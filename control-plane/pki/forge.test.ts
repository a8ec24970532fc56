import assert from 'node:assert/strict';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { build } from 'esbuild';

test('the proxy loads only the parts of node-forge that read and write DER and PEM', async () => {
  const { metafile } = await build({
    absWorkingDir: join(import.meta.dirname, '..', '..'),
    entryPoints: ['proxy/main.ts'],
    bundle: true,
    platform: 'node',
    external: ['koffi'],
    write: false,
    metafile: true,
    logLevel: 'silent',
  });
  const loaded = Object.keys(metafile.inputs).filter((file) => file.includes('/node-forge/'));
  assert.deepEqual(loaded.map((file) => basename(file)).sort(), [
    'asn1.js',
    'baseN.js',
    'forge.js',
    'oids.js',
    'pem.js',
    'util.js',
  ]);
});
