import { spawnSync } from 'node:child_process';
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { NODE_FLAGS } from '../node-flags.ts';
import { ImageError } from './image-error.ts';
import type { TarEntry } from './tar.ts';

const START_MS = 20_000;
const CACHE = '.compile-cache';
const ENVIRONMENT = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' };
/** V8 seeds its hash tables at random, and what it stores of compiled code depends on that. */
const FIXED_SEEDS = ['--hash-seed=1', '--random-seed=1'];

/** Words of 32 bits, little-endian. Source: node `src/compile_cache.cc`, then V8 `SerializedCodeData` behind it. */
const NODE_HEADER_BYTES = 20; // magic, size of the code, of the data, hash of the code, of the data
const DATA_HASH_OFFSET = 16;
const V8_FLAGS_OFFSET = NODE_HEADER_BYTES + 12; // behind magic, version and source; not part of V8's checksum

/**
 * What V8 makes of bundles when each is started once, so that no container has to: a process then starts about a third
 * faster. Equal images give equal bytes, for which they are started with fixed seeds and at the paths that they have in
 * the image. Running with fixed seeds would open the way to hash flooding, so the files are labelled as made with the
 * flags that containers run with.
 *
 * @param node    path in the image
 * @param folder  of the image, that holds `tulle.cjs` and the bundles that it starts by name. Every bundle must end by
 *   itself when it has no configuration.
 * @param files   everything that is needed to run them
 * @throws ImageError  when a bundle cannot be started or does not end
 */
export function compileCache(node: string, folder: string, files: readonly TarEntry[]): readonly TarEntry[] {
  const names = files
    .filter(({ path }) => dirname(path) === folder && path.endsWith('.cjs'))
    .map(({ path }) => basename(path, '.cjs'))
    .filter((name) => name !== 'tulle' && name !== 'pause');
  const temporary = mkdtempSync(join(tmpdir(), 'tulle-image-'));
  const run = (root: string, flags: readonly string[], name: string): void => {
    const unshare = ['--user', '--map-root-user', '--net', `--root=${root}`];
    const args = [...unshare, node, ...NODE_FLAGS, ...flags, `/${folder}/tulle.cjs`, name];
    const { error, status, stderr } = spawnSync('unshare', args, {
      env: ENVIRONMENT,
      encoding: 'utf8',
      timeout: START_MS,
    });
    const reason =
      error?.message ?? (status === 0 || existsSync(join(root, folder, CACHE)) ? undefined : stderr.trim());
    if (reason !== undefined) throw new ImageError(`the bundle ${name} does not start inside the image: ${reason}`);
  };
  try {
    const [first = ''] = names;
    const usual = place(join(temporary, 'usual'), files);
    run(usual, [], first);
    const { tag, files: usualFiles } = cacheOf(join(usual, folder));
    const flags = usualFiles[0]?.content.subarray(V8_FLAGS_OFFSET, V8_FLAGS_OFFSET + 4) ?? Buffer.alloc(4);
    const seeded = place(join(temporary, 'seeded'), files);
    for (const name of names) run(seeded, FIXED_SEEDS, name);
    return cacheOf(join(seeded, folder)).files.map(({ name, content }) => ({
      kind: 'file',
      path: `${folder}/${CACHE}/${tag}/${name}`,
      content: relabel(content, flags),
    }));
  } finally {
    rmSync(temporary, { recursive: true });
  }
}

function place(root: string, files: readonly TarEntry[]): string {
  for (const file of files) {
    if (file.kind !== 'file') continue;
    mkdirSync(join(root, dirname(file.path)), { recursive: true });
    writeFileSync(join(root, file.path), file.content, { mode: file.mode ?? 0o644 });
  }
  return root;
}

function cacheOf(app: string): { readonly tag: string; readonly files: readonly { name: string; content: Buffer }[] } {
  const folder = join(app, CACHE);
  const [tag = ''] = readdirSync(folder);
  const files = globSync(`${tag}/*`, { cwd: folder })
    .sort()
    .map((file) => ({ name: basename(file), content: readFileSync(join(folder, file)) }));
  return { tag, files };
}

function relabel(file: Buffer, flags: Uint8Array): Buffer {
  const copy = Buffer.from(file);
  copy.set(flags, V8_FLAGS_OFFSET);
  copy.writeUInt32LE(crc32(copy.subarray(NODE_HEADER_BYTES)), DATA_HASH_OFFSET);
  return copy;
}
