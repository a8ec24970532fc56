import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { BuildResult } from 'esbuild';
import { VERSION } from '#config/version.ts';
import { BUNDLE_FOLDER, type BundleFile } from '../bundle.ts';
import { NODE_ENVIRONMENT, NODE_FLAGS } from '../node-flags.ts';
import { compileCache } from './compile-cache.ts';
import { DebianLibraries } from './debian-libraries.ts';
import { withoutSymbols } from './elf.ts';
import { ImageError } from './image-error.ts';
import { NpmPackages } from './npm-package.ts';
import { makeLayer, ociArchive, type Architecture, type ImageOfOneArchitecture, type Layer } from './oci-archive.ts';
import { softwareBill, type NpmComponent } from './sbom.ts';
import type { TarEntry } from './tar.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const CACHE = join(ROOT, 'node_modules', '.cache', 'tulle-image');
const APP = 'tulle'; // folder of the image
const NODE = '/usr/bin/node';
/** Nobody in particular: pods set their own user. */
const USER = '65532:65532';
const NODE_ARCH: Readonly<Record<Architecture, string>> = { amd64: 'x64', arm64: 'arm64' };
const OWN_ARCH = process.arch === 'arm64' ? 'arm64' : 'amd64';

type Bundles = BuildResult<{ write: false; metafile: true }>;

export type Request = {
  readonly reference: string; // name and tag
  readonly bundles: Bundles; // programs, and `tulle.cjs`, which starts them
  readonly files: readonly BundleFile[]; // beside them
  readonly compiles: boolean; // whether compiled code comes with the bundles
  readonly architectures: readonly Architecture[];
  /** Told what is done and what is left out. */
  readonly note: (text: string) => void;
};

/**
 * Builds an image for each architecture that its packages can be had for.
 *
 * @throws ImageError  when not even the machine's own architecture can be built
 */
export function buildImage(request: Request): {
  readonly archive: Buffer;
  readonly bill: object;
  readonly sizes: readonly {
    readonly architecture: Architecture;
    readonly packedBytes: number;
    readonly bytes: number;
  }[];
} {
  mkdirSync(CACHE, { recursive: true });
  const npm = new NpmPackages(ROOT, CACHE);
  const components = bundledPackages(request.bundles, npm);
  const images: ImageOfOneArchitecture[] = [];
  const sizes: { architecture: Architecture; packedBytes: number; bytes: number }[] = [];
  let bill: object = {};
  for (const architecture of request.architectures) {
    try {
      request.note(`layers for ${architecture}`);
      const built = buildOne(request, npm, components, architecture);
      images.push(built.image);
      sizes.push({ architecture, ...built.size });
      if (images.length === 1) bill = built.bill;
    } catch (error) {
      if (!(error instanceof ImageError) || architecture === OWN_ARCH) throw error;
      request.note(`left out ${architecture}: ${error.message}`);
    }
  }
  if (images.length === 0) throw new ImageError('no architecture is left');
  return { archive: ociArchive(request.reference, images), bill, sizes };
}

function buildOne(request: Request, npm: NpmPackages, components: readonly NpmComponent[], architecture: Architecture) {
  const arch = NODE_ARCH[architecture];
  const node = withoutSymbols(readFileSync(join(npm.folderOf(`node-linux-${arch}`), 'bin', 'node')));
  const addon = `@koromix/koffi-linux-${arch}`;
  const koffi = [
    ...filesOf(npm.folderOf('koffi'), `${APP}/node_modules/koffi`, [
      'package.json',
      'index.cjs',
      'src/koffi/index.cjs',
      'src/koffi/src/static.cjs',
    ]),
    ...filesOf(npm.folderOf(addon), `${APP}/node_modules/${addon}`, [
      'package.json',
      'index.js',
      `linux_${arch}/koffi.node`,
    ]),
  ];
  const debian = DebianLibraries.fetch(architecture, CACHE);
  const native = koffi.flatMap((entry) =>
    entry.kind === 'file' && entry.path.endsWith('.node') ? [entry.content] : [],
  );
  const libraries = debian.entriesFor([node, ...native.map((content) => Buffer.from(content))]);
  const nodePackage = `node-linux-${arch}`;
  const described = [...components, ...['koffi', addon, nodePackage].map((name) => ({ name, ...npm.describe(name) }))];
  const bill = softwareBill(request.reference, VERSION, described, debian.packages);
  const program: readonly TarEntry[] = [{ kind: 'file', path: NODE.slice(1), mode: 0o755, content: node }];
  const app = [...koffi, ...bundleFiles([...request.bundles.outputFiles, ...request.files])];
  const compiled =
    request.compiles && architecture === OWN_ARCH
      ? compileCacheIfPossible([...libraries, ...program, ...app], request)
      : [];
  const layers = [
    cachedLayer('libraries of Debian', [...libraries, ...etcFiles()]),
    cachedLayer('Node', program),
    cachedLayer('Tulle', [
      ...app,
      ...compiled,
      { kind: 'file', path: 'usr/share/doc/tulle/sbom.cdx.json', content: Buffer.from(JSON.stringify(bill)) },
      { kind: 'file', path: 'usr/share/doc/tulle/copyright', content: Buffer.from(licences(npm, described)) },
    ]),
  ];
  const image: ImageOfOneArchitecture = {
    architecture,
    layers,
    config: {
      entrypoint: [NODE, ...NODE_FLAGS, `/${APP}/tulle.cjs`],
      user: USER,
      environment: Object.entries({ PATH: '/usr/bin', HOME: '/tmp', ...NODE_ENVIRONMENT }).map((pair) =>
        pair.join('='),
      ),
      workingFolder: '/',
      labels: { 'org.opencontainers.image.version': VERSION, 'org.opencontainers.image.licenses': 'Apache-2.0' },
    },
  };
  return {
    image,
    bill,
    size: {
      packedBytes: layers.reduce((sum, { packed }) => sum + packed.length, 0),
      bytes: layers.reduce((sum, { bytes }) => sum + bytes, 0),
    },
  };
}

/** Without it containers only start more slowly. */
function compileCacheIfPossible(
  files: readonly TarEntry[],
  { note }: { readonly note: (text: string) => void },
): readonly TarEntry[] {
  try {
    return compileCache(NODE, APP, files);
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    note(`no compiled code in the image: ${error.message}`);
    return [];
  }
}

/** Packing Node takes seconds, and it hardly ever changes. */
function cachedLayer(what: string, entries: readonly TarEntry[]): Layer {
  return makeLayer(what, entries, (tar) => {
    const file = join(CACHE, `layer-${createHash('sha256').update(tar).digest('hex').slice(0, 32)}.gz`);
    if (existsSync(file)) return readFileSync(file);
    const packed = gzipSync(tar, { level: 9 });
    writeFileSync(file, packed);
    return packed;
  });
}

function etcFiles(): readonly TarEntry[] {
  const file = (path: string, text: string): TarEntry => ({ kind: 'file', path, content: Buffer.from(text) });
  return [
    file('etc/passwd', 'root:x:0:0:root:/:/nologin\ntulle:x:65532:65532:tulle:/tmp:/nologin\n'),
    file('etc/group', 'root:x:0:\ntulle:x:65532:\n'),
    file('etc/nsswitch.conf', 'hosts: files dns\n'),
    { kind: 'folder', path: 'tmp', mode: 0o1777 },
  ];
}

function bundleFiles(files: readonly BundleFile[]): readonly TarEntry[] {
  return files.map(({ path, contents }) => ({
    kind: 'file',
    path: `${APP}/${relative(BUNDLE_FOLDER, path)}`,
    content: contents,
  }));
}

function filesOf(folder: string, target: string, names: readonly string[]): readonly TarEntry[] {
  return names.map((name) => ({ kind: 'file', path: `${target}/${name}`, content: readFileSync(join(folder, name)) }));
}

/** The npm packages that some code of a bundle is from. */
function bundledPackages({ metafile }: Bundles, npm: NpmPackages): readonly NpmComponent[] {
  const names = new Set<string>();
  for (const file of Object.keys(metafile.inputs)) {
    const name = /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules\/)/.exec(file)?.[1];
    if (name !== undefined) names.add(name);
  }
  return [...names].sort().map((name) => ({ name, ...npm.describe(name) }));
}

function licences(npm: NpmPackages, components: readonly NpmComponent[]): string {
  const texts = components.map(({ name, version, license }) => {
    const folder = npm.folderOf(name);
    const [file] = globSync('{LICENSE,LICENCE,License,license}*', { cwd: folder }).sort();
    const text = file === undefined ? '' : readFileSync(join(folder, file), 'utf8');
    return `${name} ${version} (${license})\n\n${text.trim()}\n`;
  });
  return [readFileSync(join(ROOT, 'LICENSE'), 'utf8'), ...texts].join(`\n${'-'.repeat(80)}\n`);
}
