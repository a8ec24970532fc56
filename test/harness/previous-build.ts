import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

const CHECKOUT = join(import.meta.dirname, '../..');
const BUILDS = join(CHECKOUT, '.cache', 'builds');
const COMMAND_MS = 600_000;

/** The oldest commit that an upgrade must work from, and to which it must be possible to go back. */
const PREVIOUS = '59a5991bbacafa020bc396b76456f10afaf90367';

/** Name of the previous build's image, which is there under its usual tag beside the present one. */
export const PREVIOUS_IMAGE = 'tulle.dev/previous';

/** @returns why the previous build cannot be had here */
export function missingPrevious(): string | false {
  const { status } = git(['cat-file', '-e', `${PREVIOUS}^{commit}`]);
  return status !== 0 && `this clone does not have commit ${PREVIOUS.slice(0, 7)}: \`git fetch --unshallow\` gets it`;
}

/**
 * The checkout of the previous build, with bundles in `dist`. Made the first time it is asked for.
 *
 * @throws Error  with what the failed command said
 */
export function previousCheckout(): string {
  const folder = join(BUILDS, PREVIOUS);
  if (existsSync(folder)) return folder;
  mkdirSync(BUILDS, { recursive: true });
  const fresh = mkdtempSync(`${folder}.`);
  chmodSync(fresh, 0o755); // processes run as different users
  const tar = git(['archive', PREVIOUS]);
  if (tar.status !== 0) throw new Error(`\`git archive\` failed: ${String(tar.stderr)}`);
  run('tar', ['-x'], fresh, tar.stdout);
  const [own, theirs] = [CHECKOUT, fresh].map((path) => readFileSync(join(path, 'package-lock.json'), 'utf8'));
  if (own === theirs) symlinkSync(join(CHECKOUT, 'node_modules'), join(fresh, 'node_modules'));
  else run('npm', ['ci', '--ignore-scripts', '--no-fund', '--no-audit', '--loglevel=error'], fresh);
  run(process.execPath, ['control-plane/install/bundle.ts'], fresh);
  try {
    renameSync(fresh, folder);
  } catch (error) {
    rmSync(fresh, { recursive: true });
    if (!existsSync(folder)) throw error; // else somebody else was faster
  }
  return folder;
}

/** Builds the previous build's image. @returns an OCI archive */
export function previousImage(): string {
  const folder = previousCheckout();
  const archive = join(folder, 'dist', 'image.tar');
  if (existsSync(archive)) return archive;
  const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';
  const flags = ['--arch', architecture, '--name', PREVIOUS_IMAGE, '--output', archive];
  run(process.execPath, ['control-plane/install/image/main.ts', ...flags], folder);
  return archive;
}

function git(args: readonly string[]) {
  return spawnSync('git', args, { cwd: CHECKOUT, timeout: COMMAND_MS, maxBuffer: 64 * 1024 * 1024 });
}

function run(program: string, args: readonly string[], cwd: string, input: Uint8Array = new Uint8Array()): void {
  const { status, stderr, error } = spawnSync(program, args, { cwd, input, encoding: 'buffer', timeout: COMMAND_MS });
  if (status !== 0)
    throw new Error(`the previous build cannot be made: \`${program} ${args.join(' ')}\`: ${String(error ?? stderr)}`);
}
