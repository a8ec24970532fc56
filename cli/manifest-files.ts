import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CommandError, UsageError } from './command.ts';
import { reasonOf } from './reason.ts';

/** A text with where it comes from. */
export type ManifestSource = {
  readonly name: string;
  readonly text: string;
  readonly isFound: boolean; // in a folder, where not everything needs to be a manifest
};

/**
 * Manifests of files, of the files in folders, and of standard input.
 *
 * @param sources  paths; `-` is standard input
 * @throws UsageError / CommandError  naming what is missing or cannot be read
 */
export async function readManifestSources(
  sources: readonly string[],
  readStdin: () => Promise<string>,
  command: string,
): Promise<readonly ManifestSource[]> {
  if (sources.length === 0)
    throw new UsageError(`name a file, a folder or - for standard input (\`tulle ${command} --help\`)`);
  const texts = await Promise.all(sources.map((source) => readSource(source, readStdin)));
  return texts.flat();
}

async function readSource(source: string, readStdin: () => Promise<string>): Promise<readonly ManifestSource[]> {
  if (source === '-') return [{ name: 'standard input', text: await readStdin(), isFound: false }];
  try {
    if (!statSync(source).isDirectory()) return [{ name: source, text: readFileSync(source, 'utf8'), isFound: false }];
    return readdirSync(source)
      .filter((file) => /\.(ya?ml|json)$/.test(file))
      .sort()
      .map((file) => ({ name: join(source, file), text: readFileSync(join(source, file), 'utf8'), isFound: true }));
  } catch (error) {
    throw new CommandError(
      `${source}: ${(error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file or folder' : reasonOf(error)}`,
    );
  }
}

/** What to say when there was nothing in any of the sources. */
export function noObjects(sources: readonly string[]): CommandError {
  const named = sources.map((source) => (source === '-' ? 'standard input' : source)).join(', ');
  return new CommandError(`${named}: there is no Kubernetes object in it`);
}
