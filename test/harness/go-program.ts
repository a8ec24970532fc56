import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const BUILD_MS = 3_600_000;

/** The program `go`, on the path or where its own packages put it. */
export function goProgram(): string | undefined {
  return ['go', '/usr/local/go/bin/go', '/usr/lib/go/bin/go'].find(
    (program) => spawnSync(program, ['version'], { timeout: 30_000 }).status === 0,
  );
}

/** Where built programs are kept, outside of the checkout: `TULLE_CLUSTER_CACHE`, else below the user's cache folder. */
export function programCache(): string {
  const { TULLE_CLUSTER_CACHE, XDG_CACHE_HOME } = process.env;
  return TULLE_CLUSTER_CACHE ?? join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'tulle-cluster');
}

/** Names the version of sources, to tell what was built from them. */
export function sourcesHash(folder: string, files: readonly string[]): string {
  const hash = createHash('sha256');
  for (const file of files) hash.update(readFileSync(join(folder, file)));
  return hash.digest('hex').slice(0, 16);
}

/**
 * @param module  folder with `go.mod`
 * @param source  package to build, relative to it
 * @param flags   for the linker
 * @throws Error  with the end of what the compiler said
 */
export function compile(go: string, module: string, source: string, output: string, flags: string): void {
  const args = ['build', '-mod=mod', '-trimpath', '-buildvcs=false', '-ldflags', flags, '-o', output, source];
  const { status, stderr, error } = spawnSync(go, args, {
    cwd: module,
    encoding: 'utf8',
    timeout: BUILD_MS,
    maxBuffer: 64 * 1024 * 1024,
    env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '' },
  });
  if (status !== 0)
    throw new Error(`\`go build\` failed in ${module}: ${(stderr || String(error)).trim().slice(-2000)}`);
}
