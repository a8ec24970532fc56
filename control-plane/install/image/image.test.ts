import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { dynamicLinks, withoutSymbols } from './elf.ts';
import { makeLayer, ociArchive } from './oci-archive.ts';
import { softwareBill } from './sbom.ts';
import { tarArchive, type TarEntry } from './tar.ts';

const folder = mkdtempSync(join(tmpdir(), 'image-test-'));
after(() => rmSync(folder, { recursive: true }));

function tar(args: readonly string[], archive: Buffer): string {
  const { status, stdout, stderr } = spawnSync('tar', [...args], { input: archive, encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return stdout;
}

test('an archive has sorted entries with their folders, and the same bytes whatever the order', () => {
  const long = `${'deep/'.repeat(25)}file-with-a-name`;
  const entries: readonly TarEntry[] = [
    { kind: 'file', path: 'b/run', mode: 0o755, content: Buffer.from('#!') },
    { kind: 'file', path: 'a', content: Buffer.alloc(513, 'x') },
    { kind: 'folder', path: 'tmp', mode: 0o1777 },
    { kind: 'file', path: long, content: Buffer.from('long') },
  ];
  const archive = tarArchive(entries);
  assert.deepEqual(archive, tarArchive(entries.toReversed()));
  const listing = tar(['-tvf', '-'], archive).replace(/ 1970\S* \S+/g, '');
  assert.match(listing, /^-rw-r--r-- \S+ +513 a\n/);
  assert.match(listing, /^drwxr-xr-x \S+ +0 b\/\n-rwxr-xr-x (root\/root|0\/0) +2 b\/run$/m);
  assert.match(listing, /^drwxrwxrwt \S+ +0 tmp\/$/m);
  assert.equal(tar(['-xOf', '-', long], archive), 'long');
  assert.throws(() => tarArchive([{ kind: 'folder', path: 'x'.repeat(300) }]), /too long/);
});

test('what a program is linked to is read from it, and it runs without its symbols', () => {
  const node = readFileSync(process.execPath);
  const { interpreter, needed } = dynamicLinks(node);
  assert.match(interpreter ?? '', /\/ld-linux/);
  assert.ok(needed.includes('libc.so.6') && needed.includes('libstdc++.so.6'), needed.join());
  const stripped = withoutSymbols(node);
  assert.ok(stripped.length < node.length);
  assert.deepEqual(dynamicLinks(stripped), { interpreter, needed });
  const file = join(folder, 'node');
  writeFileSync(file, stripped);
  chmodSync(file, 0o755);
  assert.equal(spawnSync(file, ['--version'], { encoding: 'utf8' }).stdout.trim(), process.version);
  assert.throws(() => dynamicLinks(Buffer.from('#!/bin/sh')), /not an ELF file/);
});

test('an image archive leads from its index to every blob, each under its digest', () => {
  const config = {
    entrypoint: ['/usr/bin/node'],
    user: '65532:65532',
    environment: [],
    workingFolder: '/',
    labels: {},
  };
  const layer = makeLayer('hello', [{ kind: 'file', path: 'hello', content: Buffer.from('hello') }]);
  const archive = ociArchive('tulle.dev/x:1.2.3', [
    { architecture: 'amd64', layers: [layer], config },
    { architecture: 'arm64', layers: [layer], config },
  ]);
  const read = (path: string): Buffer => spawnSync('tar', ['-xOf', '-', path], { input: archive }).stdout;
  const json = (path: string): never => JSON.parse(read(path).toString()) as never;
  type Descriptor = { readonly digest: string; readonly size: number; readonly platform?: { architecture: string } };
  const blob = ({ digest, size }: Descriptor): Buffer => {
    const content = read(`blobs/${digest.replace(':', '/')}`);
    assert.equal(content.length, size);
    assert.equal(`sha256:${createHash('sha256').update(content).digest('hex')}`, digest);
    return content;
  };
  const root: { manifests: (Descriptor & { annotations: Record<string, string> })[] } = json('index.json');
  assert.equal(root.manifests[0]?.annotations['io.containerd.image.name'], 'tulle.dev/x:1.2.3');
  const index = JSON.parse(blob(root.manifests[0]).toString()) as { manifests: Descriptor[] };
  assert.deepEqual(
    index.manifests.map(({ platform }) => platform?.architecture),
    ['amd64', 'arm64'],
  );
  for (const each of index.manifests) {
    const manifest = JSON.parse(blob(each).toString()) as { config: Descriptor; layers: Descriptor[] };
    const described = JSON.parse(blob(manifest.config).toString()) as {
      architecture: string;
      config: { User: string };
      rootfs: { diff_ids: string[] };
    };
    assert.deepEqual([described.architecture, described.config.User], [each.platform?.architecture, '65532:65532']);
    const unpacked = gunzipSync(blob(manifest.layers[0] as Descriptor));
    assert.equal(`sha256:${createHash('sha256').update(unpacked).digest('hex')}`, described.rootfs.diff_ids[0]);
    assert.equal(tar(['-xOf', '-', 'hello'], unpacked), 'hello');
  }
  const [docker] = json('manifest.json') as { RepoTags: string[]; Layers: string[] }[];
  assert.deepEqual(docker?.RepoTags, ['tulle.dev/x:1.2.3']);
});

test('the software bill names every package with its URL, and is the same for the same packages', () => {
  const npm = { name: '@grpc/grpc-js', version: '1.14.7', license: 'Apache-2.0' };
  const debian = { name: 'libc6', version: '2.36-9+deb12u1', architecture: 'amd64' } as const;
  const bill = JSON.stringify(softwareBill('tulle.dev/x:1', '1', [npm], [debian]));
  assert.match(bill, /"pkg:npm\/%40grpc\/grpc-js@1\.14\.7"/);
  assert.match(bill, /"pkg:deb\/debian\/libc6@2\.36-9%2Bdeb12u1\?arch=amd64"/);
  assert.equal(bill, JSON.stringify(softwareBill('tulle.dev/x:1', '1', [npm], [debian])));
});
