import { existsSync, globSync, mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { dynamicLinks } from './elf.ts';
import { ImageError } from './image-error.ts';
import type { Architecture } from './oci-archive.ts';
import type { TarEntry } from './tar.ts';
import { runTool } from './tool.ts';

/** What the pinned Node is linked to. Nothing else of Debian is in the image: no shell, no package manager. */
const PACKAGES = ['libatomic1', 'libc6', 'libgcc-s1', 'libstdc++6'] as const;
const TRIPLETS: Readonly<Record<Architecture, string>> = { amd64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' };

export type DebianPackage = { readonly name: string; readonly version: string; readonly architecture: Architecture };

/** Libraries of Debian packages, unpacked into a folder of the cache. */
export class DebianLibraries {
  readonly packages: readonly DebianPackage[];
  readonly #folder: string;
  readonly #triplet: string;

  private constructor(folder: string, architecture: Architecture, packages: readonly DebianPackage[]) {
    this.#folder = folder;
    this.#triplet = TRIPLETS[architecture];
    this.packages = packages;
  }

  /**
   * Fetches the packages of an architecture with apt, whatever the machine's own is and whoever runs it.
   *
   * @param cache  folder that keeps what was fetched; delete it to fetch newer versions
   * @throws ImageError
   */
  static fetch(architecture: Architecture, cache: string): DebianLibraries {
    const folder = join(cache, `debian-${architecture}`);
    const done = join(folder, 'packages.json');
    if (!existsSync(done)) {
      rmSync(folder, { recursive: true, force: true });
      writeFileSync(done, JSON.stringify(download(architecture, folder)));
    }
    const packages = JSON.parse(readFileSync(done, 'utf8')) as readonly DebianPackage[];
    return new DebianLibraries(join(folder, 'root'), architecture, packages);
  }

  /**
   * The loader and every library that some programs need, and that those need, and the packages' copyright files.
   *
   * @throws ImageError  naming a library that no package has
   */
  entriesFor(programs: readonly Buffer[]): readonly TarEntry[] {
    const entries: TarEntry[] = [];
    const libraries = new Map<string, Buffer>();
    const loaders = new Set<string>();
    const visit = (bytes: Buffer): void => {
      const { interpreter, needed } = dynamicLinks(bytes);
      if (interpreter !== undefined) loaders.add(interpreter);
      for (const name of needed) {
        if (libraries.has(name)) continue;
        const library = this.#find(name);
        libraries.set(name, library);
        visit(library);
      }
    };
    for (const program of programs) visit(program);
    for (const loader of loaders) {
      const content = this.#find(basename(loader));
      libraries.delete(basename(loader));
      entries.push({ kind: 'file', path: loader.slice(1), mode: 0o755, content });
    }
    for (const [name, content] of libraries) {
      entries.push({ kind: 'file', path: `usr/lib/${this.#triplet}/${name}`, mode: 0o755, content });
    }
    for (const file of globSync('usr/share/doc/*/copyright', { cwd: this.#folder })) {
      entries.push({ kind: 'file', path: file, content: readFileSync(join(this.#folder, file)) });
    }
    return entries;
  }

  #find(name: string): Buffer {
    const [found] = globSync(`{,usr/}lib/${this.#triplet}/${name}`, { cwd: this.#folder });
    if (found === undefined) {
      throw new ImageError(
        `no file named ${name} is in ${PACKAGES.join(', ')}: add its package to the list of packages`,
      );
    }
    // A link with an absolute target would lead out of the folder.
    const target = realpathSync(join(this.#folder, found));
    if (!target.startsWith(realpathSync(this.#folder))) throw new ImageError(`${found} leads out of its package`);
    return readFileSync(target);
  }
}

function download(architecture: Architecture, folder: string): readonly DebianPackage[] {
  const lists = join(folder, 'apt', 'lists');
  const archives = join(folder, 'apt', 'archives');
  const debs = join(folder, 'debs');
  for (const each of [join(lists, 'partial'), join(archives, 'partial'), debs]) mkdirSync(each, { recursive: true });
  const status = join(folder, 'apt', 'status');
  writeFileSync(status, '');
  // State of its own: neither the machine's architecture nor its lists matter, and no right is needed.
  const options = [
    `APT::Architecture=${architecture}`,
    `APT::Architectures=${architecture}`,
    `APT::Sandbox::User=`,
    `Dir::State::Lists=${lists}`,
    `Dir::State::status=${status}`,
    `Dir::Cache=${join(folder, 'apt')}`,
  ].flatMap((option) => ['-o', option]);
  run('apt-get', ['-qq', ...options, 'update'], debs);
  run('apt-get', ['-qq', ...options, 'download', ...PACKAGES], debs);
  const root = join(folder, 'root');
  mkdirSync(root);
  const files = globSync('*.deb', { cwd: debs }).sort();
  const packages = files.map((file) => {
    const path = join(debs, file);
    run('dpkg-deb', ['-x', path, root], debs);
    const [name = '', version = ''] = run(
      'dpkg-deb',
      ['--show', '--showformat=${Package} ${Version}', path],
      debs,
    ).split(' ');
    return { name, version, architecture };
  });
  rmSync(join(folder, 'apt'), { recursive: true });
  return packages;
}

function run(program: string, args: readonly string[], cwd: string): string {
  return runTool(program, args, cwd, 'build the image on Debian or Ubuntu, whose libraries it holds');
}
