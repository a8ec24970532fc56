import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Terminal } from './command.ts';
import { runProgram } from './program.ts';

export type Outcome = { readonly code: number; readonly out: string; readonly err: string };

/** Runs a command line in this process. */
export async function tulle(args: readonly string[], input = '', isColoured = false): Promise<Outcome> {
  let out = '';
  let err = '';
  const terminal: Terminal = {
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    isColoured,
    readStdin: async () => input,
  };
  const code = await runProgram(args, terminal);
  return { code, out, err };
}

/** A folder for one test. */
export class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'tulle-cli-test-'));

  write(name: string, text: string): string {
    const path = join(this.path, name);
    writeFileSync(path, text);
    return path;
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** A kubeconfig with one context. `cluster` and `user` replace what these hold. */
export function kubeconfig(cluster: object, user: object = {}): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'small', cluster }],
    users: [{ name: 'someone', user }],
    contexts: [{ name: 'here', context: { cluster: 'small', user: 'someone', namespace: 'shop' } }],
    'current-context': 'here',
  });
}
