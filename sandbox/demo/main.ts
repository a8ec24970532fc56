// `npm run demo`: a cluster with a meshed shop in one command. `-- --once` goes through everything and ends.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CommandError, UsageError } from '../../cli/command.ts';
import { standardTerminal } from '../../cli/terminal.ts';
import { bundleAll } from '../../control-plane/install/bundle.ts';
import {
  linkSandboxes,
  SandboxError,
  sandboxLog,
  startSandbox,
  type Sandbox,
  type SandboxOptions,
} from '../sandbox.ts';
import { mergedKubeconfig } from './contexts.ts';
import { installShop } from './install.ts';
import { installLinked, tourLinked } from './linked-tour.ts';
import { Progress } from './progress.ts';
import { tourShop } from './shop-tour.ts';
import { Stage } from './stage.ts';

const EXIT_USAGE = 2;
const PARENT_POLL_MS = 1_000;
const EXIT_INTERRUPTED = 130;
const API_PORT = 6443; // inside the networks of sandboxes
const EAST_NETWORKS = { podNetwork: '10.43', serviceNetwork: '10.97' };

const terminal = standardTerminal(process);

type Options = { readonly isOnce: boolean; readonly isLinked: boolean; readonly port: number };

function readOptions(argv: readonly string[]): Options {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...argv],
      options: {
        once: { type: 'boolean' },
        multicluster: { type: 'boolean' },
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
  return { isOnce: values.once === true, isLinked: values.multicluster === true, port };
}

const HELP = `A small Kubernetes with Tulle and a meshed shop, until Ctrl-C.

Usage: npm run demo -- [flags]

Flags:
  --once          show everything once, then end with status 0, or say what failed
  --multicluster  two clusters, west and east, that are linked
  --port PORT     port of the Kubernetes API on 127.0.0.1, of west if there are two (default: any free one)
  -h, --help      show this help
`;

type Start = (options?: SandboxOptions) => Promise<Sandbox>;

/** One cluster with the shop. */
async function runShop(options: Options, progress: Progress, start: Start): Promise<void> {
  const startMs = performance.now();
  const sandbox = await progress.step('start a Kubernetes cluster', () => start({ port: options.port }));
  using stage = await Stage.open({ terminal, kubeconfig: sandbox.kubeconfig });
  await installShop(stage.cluster, progress);
  terminal.err(`\nThe shop is up after ${secondsSince(startMs)}.\n`);
  await tourShop(stage);
  if (options.isOnce) return;
  terminal.out(nextInShop(sandbox.kubeconfig));
  await untilOneEnds([sandbox]);
}

/** Two linked clusters. */
async function runLinked(options: Options, progress: Progress, start: Start): Promise<void> {
  const startMs = performance.now();
  const [westSandbox, eastSandbox] = await progress.step('start two Kubernetes clusters, west and east', async () => {
    const pair = await Promise.all([start({ port: options.port }), start(EAST_NETWORKS)]);
    await linkSandboxes(...pair);
    return pair;
  });
  const kubeconfig = join(westSandbox.stateDirectory, 'linked.kubeconfig');
  const contexts = mergedKubeconfig({ west: westSandbox.kubeconfig, east: eastSandbox.kubeconfig });
  writeFileSync(kubeconfig, contexts, { mode: 0o600 });
  using west = await Stage.open({ terminal, kubeconfig, context: 'west' });
  using east = await Stage.open({ terminal, kubeconfig, context: 'east' });
  await installLinked({ west, east }, progress);
  terminal.err(`\nBoth clusters are up after ${secondsSince(startMs)}.\n`);
  await tourLinked({ west, east }, `https://${westSandbox.nodeIP}:${API_PORT}`);
  if (options.isOnce) return;
  terminal.out(nextInLinked(kubeconfig));
  await untilOneEnds([westSandbox, eastSandbox]);
}

async function untilOneEnds(sandboxes: readonly Sandbox[]): Promise<never> {
  const code = await Promise.race(sandboxes.map(({ exited }) => exited));
  throw new SandboxError(`a cluster ended by itself with status ${code}`);
}

function secondsSince(startMs: number): string {
  return `${((performance.now() - startMs) / 1000).toFixed(1)} s`;
}

function nextInShop(kubeconfig: string): string {
  return `
The cluster stays up until Ctrl-C. In another terminal:

  export KUBECONFIG=${kubeconfig}
  kubectl get pods -A
  npm run -s tulle -- viz top deploy/web -n shop
  npm run -s tulle -- viz stat deploy -n shop
  kubectl apply -f sandbox/demo/split.yaml       # after changing the weights
  kubectl exec -n shop deploy/web -- node demo-ask.cjs 200 http://catalog:8080/items
  kubectl delete -f sandbox/demo/retry.yaml      # and visitors see failures again
  kubectl logs -n shop deploy/checkout -c linkerd-proxy
`;
}

function nextInLinked(kubeconfig: string): string {
  return `
The clusters stay up until Ctrl-C. In another terminal:

  export KUBECONFIG=${kubeconfig}
  kubectl --context east get services -n shop
  kubectl --context east exec -n shop deploy/visitors -- node demo-ask.cjs 50 http://catalog-west:8080/items
  kubectl --context west scale -n shop deploy/catalog --replicas=0     # and 1 again
  kubectl --context west scale -n tulle-multicluster deploy/tulle-gateway --replicas=0
  npm run -s tulle -- multicluster gateways --context east
  npm run -s tulle -- multicluster unlink --context east --cluster-name west | kubectl --context east delete -f -
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
  const starting: Promise<Sandbox>[] = [];
  const start: Start = (sandboxOptions) => {
    const sandbox = startSandbox({ ...sandboxOptions, signal });
    starting.push(sandbox);
    return sandbox;
  };
  const started = async (): Promise<readonly Sandbox[]> =>
    (await Promise.allSettled(starting)).flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const run = async (): Promise<void> => {
    await progress.step('bundle the processes', bundleAll);
    if (!signal.aborted) await (options.isLinked ? runLinked : runShop)(options, progress, start);
  };
  try {
    await Promise.race([run(), interrupted]);
    return signal.aborted ? EXIT_INTERRUPTED : 0;
  } catch (error) {
    if (signal.aborted) return EXIT_INTERRUPTED;
    if (!(error instanceof CommandError || error instanceof UsageError || error instanceof SandboxError)) throw error;
    terminal.err(`tulle: ${error.message}\n`);
    for (const sandbox of await started()) {
      const log = sandboxLog(sandbox.stateDirectory, 10);
      if (log !== '') terminal.err(`The last lines of the cluster's own log:\n${log}\n`);
    }
    return error instanceof UsageError ? EXIT_USAGE : 1;
  } finally {
    if (signal.aborted && !options.isOnce) terminal.err('\nending the cluster ...\n');
    // Also those that are just starting: `startSandbox` ends them by itself when they are given up.
    await Promise.all((await started()).map((sandbox) => sandbox.stop()));
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
