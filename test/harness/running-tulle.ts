import { spawn } from 'node:child_process';
import { join } from 'node:path';

const CHECKOUT = join(import.meta.dirname, '../..');

/** A command of `tulle` that runs while the test does something else. */
export class RunningTulle implements Disposable {
  stdout = '';
  stderr = '';
  readonly ended: Promise<number>;
  readonly #kill: () => void;

  constructor(kubeconfig: string, args: readonly string[]) {
    const child = spawn(process.execPath, [join(CHECKOUT, 'cli/main.ts'), ...args], {
      env: { ...process.env, KUBECONFIG: kubeconfig },
    });
    child.stdout.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.ended = new Promise((resolve) => void child.once('close', (code) => resolve(code ?? -1)));
    this.#kill = () => void child.kill();
  }

  count(pattern: RegExp): number {
    return this.stdout.match(pattern)?.length ?? 0;
  }

  [Symbol.dispose](): void {
    this.#kill();
  }
}
