import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clusterAddresses } from './network/addresses.ts';
import { peerSocket, routeToPeer } from './network/peer-route.ts';

/** A running sandbox, seen from the machine. */
export type Sandbox = {
  readonly kubeconfig: string; // path
  readonly stateDirectory: string;
  readonly nodeIP: string; // as its own pods, and those of sandboxes linked to it, reach it
  /** Resolves when the sandbox has ended, whoever ended it. */
  readonly exited: Promise<number>;
  /** Ends everything inside and removes the state directory. May be called twice. */
  readonly stop: () => Promise<void>;
};

export type SandboxOptions = {
  readonly port?: number; // of the API server on 127.0.0.1; default: any
  /** First two numbers of the /16 of the pods, and of the Services. Sandboxes that are linked have different ones. */
  readonly podNetwork?: string;
  readonly serviceNetwork?: string;
  /** Folders of bundles (`npm run build`), inside the checkout, by the name of the image that they are. */
  readonly images?: Readonly<Record<string, string>>;
  readonly onLine?: (line: string) => void; // what the sandbox says on standard error
  readonly signal?: AbortSignal; // gives up a start; afterwards it does nothing
};

/** The sandbox did not start. The message is one line: what is wrong and what to do. */
export class SandboxError extends Error {
  override readonly name = 'SandboxError';
}

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 30_000;

/**
 * Starts a sandbox as a child process and waits until its API server answers. The sandbox ends with this process, however
 * that ends.
 *
 * @throws SandboxError
 */
export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const addresses = clusterAddresses(options.podNetwork, options.serviceNetwork);
  // Made by the child, which removes it when this process is killed: at no moment is it there with nobody to care for it.
  const stateDirectory = join(tmpdir(), `tulle-sandbox-${randomBytes(6).toString('hex')}`);
  const child = spawn(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      join(import.meta.dirname, 'main.ts'),
      '--state',
      stateDirectory,
      '--port',
      String(options.port ?? 0),
      '--pods',
      addresses.podNetwork,
      '--services',
      addresses.serviceNetwork,
      ...Object.entries(options.images ?? {}).flatMap(([name, folder]) => ['--image', `${name}=${folder}`]),
    ],
    // A process group of its own: Ctrl-C is for the caller, who then stops the sandbox in order.
    { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], detached: true },
  );
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-4096);
    for (const line of text.split('\n')) if (line !== '') options.onLine?.(line);
  });
  const exited = new Promise<number>((resolve) => child.once('exit', (code) => resolve(code ?? 1)));
  const end = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    child.kill(signal);
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await exited;
    clearTimeout(timer);
    // Retried: after SIGKILL the kernel may still be ending the processes inside.
    rmSync(stateDirectory, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  };
  try {
    await ready(child, exited, () => said, options.signal);
  } catch (error) {
    // The first process inside a pid namespace ignores SIGTERM until it has a handler, and this one may have none yet.
    await end('SIGKILL');
    throw error;
  }
  const stop = (): Promise<void> => end('SIGTERM');
  const { nodeIP } = addresses;
  return { kubeconfig: join(stateDirectory, 'kubeconfig'), stateDirectory, nodeIP, exited, stop };
}

/**
 * From now on programs of each sandbox reach the other's node by its address: the API server at port 6443, node ports and
 * load balancers. Pods do not reach each other directly.
 */
export async function linkSandboxes(a: Sandbox, b: Sandbox): Promise<void> {
  if (a.nodeIP === b.nodeIP)
    throw new SandboxError(`both sandboxes have the node address ${a.nodeIP}: start one with another podNetwork`);
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    await routeToPeer(peerSocket(from.stateDirectory), { address: to.nodeIP, socket: peerSocket(to.stateDirectory) });
  }
}

/** The last lines of what happened inside, for error messages. */
export function sandboxLog(stateDirectory: string, lines: number): string {
  try {
    return readFileSync(join(stateDirectory, 'sandbox.log'), 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  } catch {
    return '';
  }
}

async function ready(
  child: ChildProcess,
  exited: Promise<number>,
  said: () => string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const isReady = new Promise<'ready'>((resolve) => child.once('message', () => resolve('ready')));
  const late = AbortSignal.timeout(START_TIMEOUT_MS);
  const outcome = await Promise.race([isReady, exited, aborted(late, 'late'), aborted(signal, 'given up')]);
  switch (outcome) {
    case 'ready':
      return;
    case 'late':
      throw new SandboxError(`the sandbox did not start within ${START_TIMEOUT_MS / 1000} s`);
    case 'given up':
      throw new SandboxError('the start of the sandbox was given up');
    default: {
      const lastLine = said().trim().split('\n').at(-1) ?? '';
      throw new SandboxError(
        lastLine === '' ? `the sandbox ended with status ${outcome}` : lastLine.replace(/^tulle: /, ''),
      );
    }
  }
}

/** Resolves when the signal says so; never without one. */
function aborted<const T>(signal: AbortSignal | undefined, value: T): Promise<T> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) resolve(value);
    signal?.addEventListener('abort', () => resolve(value), { once: true });
  });
}
