import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { Architecture } from '../../control-plane/install/image/oci-archive.ts';

const IMAGE_MAIN = join(import.meta.dirname, '../../control-plane/install/image/main.ts');

/** Of this machine, in the words of images. */
export const ARCHITECTURE: Architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';

/**
 * Builds an image of the checkout for this machine's architecture.
 *
 * @param programs  of Tulle as it is shipped, or of the tests
 * @param folder    where the archive goes
 * @returns the archive
 * @throws Error  when it cannot be built; what went wrong is on standard error
 */
export function buildImage(programs: 'tulle' | 'test', folder: string): string {
  const output = join(folder, `${programs}.tar`);
  const flags = ['--arch', ARCHITECTURE, '--programs', programs, '--output', output];
  const { status } = spawnSync(process.execPath, [IMAGE_MAIN, ...flags], { stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) throw new Error(`the image of ${programs} cannot be built, see above`);
  return output;
}
