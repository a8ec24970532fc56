import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ImageError } from './image-error.ts';
import { runTool } from './tool.ts';

type LockFile = {
  readonly packages: Readonly<
    Record<string, { readonly version?: string; readonly integrity?: string; readonly license?: string }>
  >;
};

/** The packages of a checkout, by its lock file. */
export class NpmPackages {
  readonly #root: string;
  readonly #cache: string;
  readonly #lock: LockFile;

  /** @param cache  folder for packages of other architectures, which npm does not install */
  constructor(root: string, cache: string) {
    this.#root = root;
    this.#cache = cache;
    this.#lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as LockFile;
  }

  /** @throws ImageError  when the lock file does not name the package */
  describe(name: string): { readonly version: string; readonly license: string } {
    const { version, license = 'NOASSERTION' } = this.#locked(name);
    return { version, license };
  }

  /**
   * The folder of a package, fetched when it is not installed because it is for another architecture.
   *
   * @throws ImageError  when the package cannot be fetched, or is not the one of the lock file
   */
  folderOf(name: string): string {
    const installed = join(this.#root, 'node_modules', name);
    if (existsSync(join(installed, 'package.json'))) return installed;
    const { version, integrity } = this.#locked(name);
    const folder = join(this.#cache, `${name.replace('/', '+')}-${version}`);
    if (existsSync(join(folder, 'package', 'package.json'))) return join(folder, 'package');
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const answer = runTool('npm', ['pack', '--json', '--loglevel=error', `${name}@${version}`], folder);
    const packed = JSON.parse(answer) as readonly { readonly filename: string }[];
    const file = join(folder, packed[0]?.filename ?? '');
    const actual = `sha512-${createHash('sha512').update(readFileSync(file)).digest('base64')}`;
    if (actual !== integrity) throw new ImageError(`${name}@${version} is not the package of the lock file: ${actual}`);
    runTool('tar', ['-xzf', file], folder);
    rmSync(file);
    return join(folder, 'package');
  }

  #locked(name: string): { readonly version: string; readonly integrity?: string; readonly license?: string } {
    const entry = this.#lock.packages[`node_modules/${name}`];
    if (entry?.version === undefined) throw new ImageError(`package-lock.json does not name ${name}`);
    return { ...entry, version: entry.version };
  }
}
