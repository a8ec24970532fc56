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
  run(go, module, ['build', ...buildFlags(flags, output), source]);
}

/**
 * Builds the test functions of a package into a program.
 *
 * @param module  folder with `go.mod`
 * @param source  package whose tests it holds
 * @param flags   for the linker
 * @throws Error  with the end of what the compiler said
 */
export function compileTests(go: string, module: string, source: string, output: string, flags: string): void {
  run(go, module, ['test', '-c', ...buildFlags(flags, output), source]);
}

/**
 * @param module  folder with `go.mod`
 * @param name    of a module that it requires
 * @returns the folder with the sources of that module
 * @throws Error  with what `go` said
 */
export function moduleFolder(go: string, module: string, name: string): string {
  run(go, module, ['mod', 'download', name]);
  return run(go, module, ['list', '-mod=mod', '-m', '-f', '{{.Dir}}', name]).trim();
}

function buildFlags(linkerFlags: string, output: string): readonly string[] {
  return ['-mod=mod', '-trimpath', '-buildvcs=false', '-ldflags', linkerFlags, '-o', output];
}

function run(go: string, module: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(go, args, {
    cwd: module,
    encoding: 'utf8',
    timeout: BUILD_MS,
    maxBuffer: 64 * 1024 * 1024,
    // A module may want a newer Go than is installed: then `go` gets it as a module, too.
    env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '', GOTOOLCHAIN: 'auto' },
  });
  if (status !== 0) {
    const said = (stderr || String(error)).trim().slice(-2000);
    throw new Error(`\`go ${args[0]}\` failed in ${module}: ${said}`);
  }
  return stdout;
}
