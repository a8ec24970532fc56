import { spawnSync } from 'node:child_process';
import { ImageError } from './image-error.ts';

const TOOL_MS = 300_000;

/**
 * Runs a program of the machine.
 *
 * @param remedy  what to do when the machine does not have it
 * @returns what it printed
 * @throws ImageError  with what it complained about
 */
export function runTool(program: string, args: readonly string[], cwd: string, remedy = 'install it'): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, encoding: 'utf8', timeout: TOOL_MS });
  if (error !== undefined && 'code' in error && error.code === 'ENOENT') {
    throw new ImageError(`${program} is not installed: ${remedy}`);
  }
  if (status !== 0) throw new ImageError(`\`${program} ${args.at(-1)}\` failed: ${(stderr || String(error)).trim()}`);
  return stdout;
}
