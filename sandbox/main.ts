// `main.ts --state DIRECTORY [--port PORT] [--image NAME=FOLDER]...`: a sandbox in the foreground, until SIGTERM or SIGINT.
// The same file is the outer process, in the machine's namespaces, and the inner one, in the sandbox's own.
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createLogger } from '#runtime/log.ts';
import { onShutdown } from '#runtime/shutdown.ts';
import { startCluster, type Bundles } from './cluster.ts';
import { launch, readLaunch, type Launched } from './launch.ts';
import { clusterAddresses, type ClusterAddresses } from './network/addresses.ts';
import { PreflightError } from './network/preflight.ts';

const CHECKOUT = join(import.meta.dirname, '..');
const API_LISTENER = 'Kubernetes API';
const READY_POLL_MS = 20;
const CLOSE_MS_MAX = 15_000;
const ORPHAN_MS = 2_000;
const EXIT_USAGE = 2;

/** Runs in the sandbox's namespaces: the cluster itself. */
async function inner(launched: Launched, addresses: ClusterAddresses, bundles: Bundles): Promise<void> {
  const { stateDirectory } = launched;
  const log = createLogger('sandbox');
  const fd = launched.listeners.get(API_LISTENER);
  if (fd === undefined) throw new Error(`no inherited socket named ${API_LISTENER}`);
  const cluster = await startCluster({
    stateDirectory,
    checkout: CHECKOUT,
    publicListener: { fd },
    addresses,
    bundles,
    log,
  });
  onShutdown(log, CLOSE_MS_MAX, cluster.close);
  const fresh = join(stateDirectory, 'ready.new');
  writeFileSync(fresh, '');
  renameSync(fresh, readyFile(stateDirectory));
}

/** Runs in the machine's namespaces: starts the inner one and says when it is ready. */
async function outer(stateDirectory: string, port: number, settings: readonly string[]): Promise<number> {
  // The parent was killed while this process was loading, before anybody listened to `disconnect`.
  if (process.send !== undefined && !process.connected) return 1;
  mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
  const log = join(stateDirectory, 'sandbox.log');
  const poll = setInterval(() => {
    if (!existsSync(readyFile(stateDirectory))) return;
    clearInterval(poll);
    // With a callback, since without one a parent that has gone just now would be an uncaught error.
    process.send?.('ready', undefined, undefined, () => undefined);
    if (process.send === undefined) process.stdout.write(`export KUBECONFIG=${join(stateDirectory, 'kubeconfig')}\n`);
  }, READY_POLL_MS);
  // The parent is gone: nobody would end this sandbox, nor remove its directory.
  let isOrphan = false;
  process.on('disconnect', () => {
    isOrphan = true;
    // `launch` passes the signal on as soon as there is somebody to pass it on to; until then it must not end this process.
    process.on('SIGTERM', () => undefined);
    process.kill(process.pid, 'SIGTERM');
    // Again, since the first process inside does not hear it while it is starting.
    setInterval(() => process.kill(process.pid, 'SIGTERM'), ORPHAN_MS);
  });
  try {
    return await launch({
      command: [
        'sh',
        '-c',
        'log=$1; shift; exec "$@" 2>>"$log"',
        'sh',
        log,
        process.execPath,
        '--disable-warning=ExperimentalWarning',
        import.meta.filename,
        ...settings,
      ],
      stateDirectory,
      listeners: [{ name: API_LISTENER, address: '127.0.0.1', port }],
      environment: process.env,
    });
  } finally {
    clearInterval(poll);
    if (isOrphan) rmSync(stateDirectory, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }
}

function bundlesOf(images: readonly string[]): Bundles {
  return new Map(
    images.map((image): [string, string] => {
      const at = image.indexOf('=');
      return [image.slice(0, at), image.slice(at + 1)];
    }),
  );
}

function readyFile(stateDirectory: string): string {
  return join(stateDirectory, 'ready');
}

async function main(): Promise<void> {
  const launched = readLaunch(process.env);
  const { values } = parseArgs({
    options: {
      state: { type: 'string' },
      port: { type: 'string', default: '0' },
      // First two numbers of a /16 each; clusters that reach each other need different ones.
      pods: { type: 'string', default: '10.42' },
      services: { type: 'string', default: '10.96' },
      // `tulle.dev/previous=/folder/of/bundles`
      image: { type: 'string', multiple: true, default: [] },
    },
  });
  for (const network of [values.pods, values.services]) {
    if (/^(10|172|192)\.\d{1,3}$/.test(network)) continue;
    process.stderr.write(`tulle: "${network}" is not the first two numbers of a private /16, such as 10.42\n`);
    process.exit(EXIT_USAGE);
  }
  if (launched !== undefined) {
    await inner(launched, clusterAddresses(values.pods, values.services), bundlesOf(values.image));
    return;
  }
  if (values.state === undefined) {
    process.stderr.write(
      'tulle: usage: main.ts --state DIRECTORY [--port PORT] [--pods A.B] [--services A.B] [--image NAME=FOLDER]\n',
    );
    process.exit(EXIT_USAGE);
  }
  const images = values.image.flatMap((image) => ['--image', image]);
  const settings = ['--pods', values.pods, '--services', values.services, ...images];
  process.exit(await outer(values.state, Number(values.port), settings));
}

main().catch((error: unknown) => {
  const isExpected = error instanceof PreflightError;
  const text = error instanceof Error ? (isExpected ? error.message : (error.stack ?? error.message)) : String(error);
  process.stderr.write(`tulle: ${text}\n`);
  process.exit(1);
});
