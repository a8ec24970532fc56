// `npm run demo`: a cluster with a meshed shop in one command. `-- --once` goes through everything and ends.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { connect, type Cluster } from '../../cli/cluster.ts';
import { CommandError, UsageError, parseFlags, type Command } from '../../cli/command.ts';
import { check } from '../../cli/commands/check.ts';
import { standardTerminal } from '../../cli/terminal.ts';
import { bundleAll } from '../../control-plane/install/bundle.ts';
import type { Manifest } from '../../control-plane/install/manifest.ts';
import { renderInstall } from '../../control-plane/install/render.ts';
import { vizEdges } from '../../viz/cli/edges.ts';
import { vizStat } from '../../viz/cli/stat.ts';
import { vizManifests } from '../../viz/install/manifest.ts';
import { defaultValues } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import { SandboxError, sandboxLog, startSandbox, type Sandbox } from '../sandbox.ts';
import { applyAll } from './apply.ts';
import { Progress } from './progress.ts';
import { waitForDeployments, waitForTraffic } from './wait.ts';

const READY_TIMEOUT_MS = 120_000;
const TRAFFIC_TIMEOUT_MS = 60_000;
const EXIT_USAGE = 2;
const PARENT_POLL_MS = 1_000;
const EXIT_INTERRUPTED = 130;

const terminal = standardTerminal(process);

type Options = { readonly isOnce: boolean; readonly port: number };

function readOptions(argv: readonly string[]): Options {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...argv],
      options: {
        once: { type: 'boolean' },
        port: { type: 'string', default: '0' },
        help: { type: 'boolean', short: 'h' },
      },
    }));
  } catch (error) {
    throw new UsageError(
      `${error instanceof Error ? error.message.split(/\. |\.?\n/)[0] : String(error)} (\`npm run demo -- --help\`)`,
    );
  }
  if (values.help === true) {
    terminal.out(HELP);
    process.exit(0);
  }
  const port = Number(values.port);
  if (!/^\d+$/.test(values.port) || port > 65_535)
    throw new UsageError(`--port is "${values.port}": use a number from 1 to 65535, or 0 for any`);
  return { isOnce: values.once === true, port };
}

const HELP = `A small Kubernetes with Tulle and a meshed shop, until Ctrl-C.

Usage: npm run demo -- [flags]

Flags:
  --once       show everything once, then end with status 0, or say what failed
  --port PORT  port of the Kubernetes API on 127.0.0.1 (default: any free one)
  -h, --help   show this help
`;

type OnStart = (starting: Promise<Sandbox>) => void;

async function run(options: Options, progress: Progress, signal: AbortSignal, onStart: OnStart): Promise<void> {
  const startMs = performance.now();
  await progress.step('bundle the processes', bundleAll);
  if (signal.aborted) return;
  const sandbox = await progress.step('start a Kubernetes cluster', () => {
    const starting = startSandbox({ port: options.port, signal });
    onStart(starting);
    return starting;
  });
  const cluster = await connect({ kubeconfig: sandbox.kubeconfig });
  try {
    await install(cluster, progress);
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
    terminal.err(`\nThe shop is up after ${seconds} s.\n`);
    await show(sandbox);
    if (options.isOnce) return;
    terminal.out(next(sandbox));
    const code = await sandbox.exited;
    throw new SandboxError(`the cluster ended by itself with status ${code}`);
  } finally {
    cluster.close();
  }
}

async function install(cluster: Cluster, progress: Progress): Promise<void> {
  const values = defaultValues(VERSION);
  await progress.step('apply `tulle install`', () => applyAll(cluster, renderInstall(values)));
  await progress.step('wait for the control plane', (note) =>
    waitForDeployments(cluster, ['tulle'], READY_TIMEOUT_MS, note),
  );
  // Only now: the extension is meshed itself, and the injector must be there for that.
  await progress.step('apply `tulle viz install`', () => applyAll(cluster, vizManifests(values)));
  await progress.step('create the namespace shop, annotated with linkerd.io/inject=enabled', () =>
    applyAll(cluster, shopManifests()),
  );
  await progress.step('wait for the shop', (note) =>
    waitForDeployments(cluster, ['tulle-viz', 'shop'], READY_TIMEOUT_MS, note),
  );
  await progress.step('watch the first visitors', (note) => waitForTraffic(cluster, 'shop', TRAFFIC_TIMEOUT_MS, note));
}

function shopManifests(): readonly Manifest[] {
  const file = join(import.meta.dirname, 'shop.yaml');
  return parseAllDocuments(readFileSync(file, 'utf8')).map((document) => document.toJS() as Manifest);
}

/** Runs commands of the real command line, as they are typed. */
async function show(sandbox: Sandbox): Promise<void> {
  await type(sandbox, check, ['--proxy', '--wait', '30s', '-o', 'short']);
  await type(sandbox, vizStat, ['deploy', '-n', 'shop']);
  await type(sandbox, vizEdges, ['deploy', '-n', 'shop', '-o', 'wide']);
}

async function type(sandbox: Sandbox, command: Command, argv: readonly string[]): Promise<void> {
  terminal.out(`\n$ tulle ${[...command.path, ...argv].join(' ')}\n`);
  const { flags, args } = parseFlags(command, [...argv, '--kubeconfig', sandbox.kubeconfig]);
  const code = await command.run({ flags, args, terminal });
  if (code !== 0) throw new CommandError(`\`tulle ${command.path.join(' ')}\` ended with status ${code}`);
}

function next(sandbox: Sandbox): string {
  return `
The cluster stays up until Ctrl-C. In another terminal:

  export KUBECONFIG=${sandbox.kubeconfig}
  kubectl get pods -A
  npm run -s tulle -- viz stat deploy -n shop
  npm run -s tulle -- viz edges pod -n shop -o wide
  npm run -s tulle -- diagnostics proxy-metrics -n shop deploy/web
  kubectl -n shop logs deploy/web -c linkerd-proxy
  kubectl -n shop scale deploy/catalog --replicas=3
`;
}

/** Whoever started the demo is gone without a word (SIGKILL): nobody is left to press Ctrl-C. */
function endWithParent(interruption: AbortController): void {
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) interruption.abort();
  }, PARENT_POLL_MS).unref();
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  const progress = new Progress(terminal, process.stderr.isTTY);
  const interruption = new AbortController();
  const { signal } = interruption;
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => interruption.abort());
  endWithParent(interruption);
  const interrupted = new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  let starting: Promise<Sandbox | undefined> = Promise.resolve(undefined);
  try {
    await Promise.race([run(options, progress, signal, (started) => (starting = started)), interrupted]);
    return signal.aborted ? EXIT_INTERRUPTED : 0;
  } catch (error) {
    if (signal.aborted) return EXIT_INTERRUPTED;
    if (!(error instanceof CommandError || error instanceof UsageError || error instanceof SandboxError)) throw error;
    terminal.err(`tulle: ${error.message}\n`);
    const sandbox = await starting.catch(() => undefined);
    const log = sandbox === undefined ? '' : sandboxLog(sandbox.stateDirectory, 10);
    if (log !== '') terminal.err(`The last lines of the cluster's own log:\n${log}\n`);
    return error instanceof UsageError ? EXIT_USAGE : 1;
  } finally {
    if (signal.aborted && !options.isOnce) terminal.err('\nending the cluster ...\n');
    // Also one that is just starting: `startSandbox` ends it by itself when it is given up.
    await (await starting.catch(() => undefined))?.stop();
  }
}

main().then(
  (code) => process.exit(code === EXIT_INTERRUPTED && !process.argv.includes('--once') ? 0 : code),
  (error: unknown) => {
    const isExpected = error instanceof CommandError || error instanceof UsageError;
    terminal.err(
      `tulle: ${error instanceof Error ? (isExpected ? error.message : (error.stack ?? error.message)) : String(error)}\n`,
    );
    process.exit(error instanceof UsageError ? EXIT_USAGE : 1);
  },
);
