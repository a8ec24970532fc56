import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { bundle, PROCESSES } from '../control-plane/install/bundle.ts';
import { VERSION } from '#config/version.ts';

const ROOT = join(import.meta.dirname, '..');
const ALIAS = /^#([a-z0-9]+)\//;

/** What each folder may import besides itself. `*` is for the places where things are put together. */
const MAY_IMPORT: Readonly<Record<string, readonly string[] | '*'>> = {
  'control-plane/runtime': [],
  'control-plane/model': [],
  'control-plane/netlink': [],
  'control-plane/config': ['control-plane/runtime', 'control-plane/model'],
  'control-plane/api': ['control-plane/model', 'control-plane/runtime'],
  'control-plane/pki': ['control-plane/runtime'],
  'control-plane/k8s': ['control-plane/runtime'],
  'control-plane/dialects': ['control-plane/model', 'control-plane/k8s', 'control-plane/runtime'],
  'control-plane/identity': [
    'control-plane/runtime',
    'control-plane/model',
    'control-plane/api',
    'control-plane/pki',
    'control-plane/k8s',
    'control-plane/config',
  ],
  'control-plane/destination': [
    'control-plane/runtime',
    'control-plane/model',
    'control-plane/api',
    'control-plane/pki',
    'control-plane/k8s',
    'control-plane/dialects',
    'control-plane/config',
    'control-plane/policy',
    'control-plane/diagnosis',
    'control-plane/findings',
  ],
  'control-plane/policy': [
    'control-plane/runtime',
    'control-plane/model',
    'control-plane/api',
    'control-plane/pki',
    'control-plane/k8s',
    'control-plane/dialects',
    'control-plane/config',
  ],
  'control-plane/diagnosis': ['control-plane/k8s', 'control-plane/dialects'],
  'control-plane/findings': [
    'control-plane/diagnosis',
    'control-plane/runtime',
    'control-plane/model',
    'control-plane/k8s',
    'control-plane/dialects',
    'control-plane/policy',
    'control-plane/config',
    'injector',
  ],
  // Puts the destination process between an API server and proxies.
  'control-plane/bench': '*',
  injector: [
    'control-plane/diagnosis',
    'control-plane/runtime',
    'control-plane/model',
    'control-plane/pki',
    'control-plane/k8s',
    'control-plane/dialects',
    'control-plane/config',
  ],
  proxy: [
    'control-plane/config',
    'control-plane/runtime',
    'control-plane/model',
    'control-plane/api',
    'control-plane/pki',
    'control-plane/netlink',
  ],
  // Puts our pair beside those of others.
  'proxy/bench': '*',
  // Leaves a pair running for long, with the places of the bench.
  'proxy/soak': '*',
  // Puts a pair before what others have written to break such a pair.
  'proxy/conformance': '*',
  'viz/metrics-api': ['control-plane/runtime'],
  'sandbox/apiserver': ['control-plane/runtime', 'control-plane/netlink', 'sandbox/node'],
  'sandbox/node': ['control-plane/runtime', 'control-plane/netlink', 'sandbox/apiserver', 'sandbox/network'],
  'sandbox/network': ['control-plane/runtime', 'control-plane/netlink', 'sandbox/apiserver'],
  'sandbox/controllers': ['control-plane/runtime', 'sandbox/apiserver'],
};

/** The files that a file imports from this repository, relative to its root. */
function importsOf(file: string): readonly string[] {
  const text = readFileSync(join(ROOT, file), 'utf8');
  const found: string[] = [];
  for (const [, target = ''] of text.matchAll(/(?:from|import)\s+'([^']+)'/g)) {
    if (target.startsWith('.')) found.push(normalize(join(dirname(file), target)));
    else if (ALIAS.test(target)) found.push(target.replace(ALIAS, 'control-plane/$1/'));
  }
  return found;
}

function folderOf(file: string): string | undefined {
  return Object.keys(MAY_IMPORT)
    .filter((folder) => file.startsWith(`${folder}/`))
    .sort((a, b) => b.length - a.length)[0];
}

test('folders import only what their layer allows', () => {
  const wrong: string[] = [];
  for (const file of globSync('{control-plane,injector,proxy,viz,sandbox}/**/*.ts', { cwd: ROOT })) {
    const folder = folderOf(file);
    if (folder === undefined || /(\.test|\/testing(-[a-z]+)?)\.ts$/.test(file)) continue;
    const allowed = MAY_IMPORT[folder] ?? [];
    if (allowed === '*') continue;
    for (const target of importsOf(file)) {
      if (!target.startsWith(`${folder}/`) && !allowed.some((other) => target.startsWith(`${other}/`)))
        wrong.push(`${file} imports ${target}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('the model uses no package at all', () => {
  for (const file of globSync('control-plane/model/**/*.ts', { cwd: ROOT })) {
    if (file.endsWith('.test.ts')) continue;
    for (const [, target = ''] of readFileSync(join(ROOT, file), 'utf8').matchAll(/from\s+'([^']+)'/g)) {
      assert.ok(/^(\.|#model\/|node:)/.test(target), `${file} imports ${target}`);
    }
  }
});

test('no bundle holds what its process must not have', async () => {
  const large = /control-plane\/k8s\/|@kubernetes|fastify|grpc-js|protobufjs/;
  const forbidden: Readonly<Record<string, RegExp>> = {
    // Each of the built-in modules is a megabyte of memory or more, and none belongs on the path of data. Patterns are a file of their own.
    proxy: new RegExp(`${large.source}|prom-client|re2js|thread-stream|^(node:)?https?2?$`),
    'proxy-init': large,
    'await-redirect': large,
    'redirect-agent': large,
    identity: /sandbox\//,
    destination: /sandbox\//,
  };
  const names = Object.keys(forbidden);
  const { metafile } = await bundle(names.map((out) => ({ in: PROCESSES[out] ?? '', out })));
  for (const name of names) {
    const { inputs, imports } = metafile.outputs[`dist/${name}.cjs`] ?? {};
    const held = Object.entries(inputs ?? {}).flatMap(([file, { bytesInOutput }]) => (bytesInOutput > 0 ? [file] : []));
    assert.notEqual(held.length, 0, name);
    const found = [...held, ...(imports ?? []).map(({ path }) => path)];
    assert.deepEqual(
      found.filter((one) => forbidden[name]?.test(one)),
      [],
      name,
    );
  }
});

test('the version is the same everywhere', () => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  assert.equal(VERSION, version);
});

test('no repository text names a registry host of the lock file', () => {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { resolved?: string }>;
  };
  assert.deepEqual(
    Object.entries(lock.packages).filter(([, { resolved }]) => resolved !== undefined),
    [],
  );
});
