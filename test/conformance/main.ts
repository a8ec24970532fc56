// `npm run test:conformance`: the mesh tests of Gateway API's own conformance suite, unmodified, on a real Kubernetes.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { VERSION } from '#config/version.ts';
import { connect } from '../../cli/cluster.ts';
import { waitForDeployments } from '../../sandbox/demo/wait.ts';
import { buildImage } from '../cluster/images.ts';
import { startKubernetes, type Kubernetes } from '../cluster/kubernetes.ts';
import { buildPrograms, type Programs } from '../cluster/programs.ts';
import { requireCluster, Unsupported } from '../cluster/requirements.ts';
import { meshOutcomes, shortcomings } from './outcomes.ts';
import { buildConformancePrograms, type ConformancePrograms } from './programs.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const EXIT_USAGE = 2;
/** This machine cannot run the tests: neither passed nor failed. */
const EXIT_UNSUPPORTED = 77;
const COMMAND_MS = 120_000;
const READY_MS = 180_000;
const RUN_MINUTES = 40;
const OUTPUT_MAX = 64 * 1024 * 1024;

/** Versions of the suite, folders of `suites/`, and how many mesh tests each has. */
const SUITES: Readonly<Record<string, number>> = { 'v1.6.3': 22, 'v1.7.0': 23 };
const DEFAULT_SUITE = 'v1.6.3';
/** Everything that a mesh test needs of a mesh. What the suite calls a feature of gateways alone is not here. */
const FEATURES = [
  'Mesh',
  'MeshClusterIPMatching',
  'MeshConsumerRoute',
  'MeshHTTPRouteBackendRequestHeaderModification',
  'MeshHTTPRouteNamedRouteRule',
  'MeshHTTPRouteQueryParamMatching',
  'MeshHTTPRouteRedirectPath',
  'MeshHTTPRouteRedirectPort',
  'MeshHTTPRouteRewritePath',
  'MeshHTTPRouteSchemeRedirect',
  'HTTPRoute',
  'HTTPRoute303RedirectStatusCode',
  'HTTPRoute307RedirectStatusCode',
  'HTTPRoute308RedirectStatusCode',
  'HTTPRouteParentRefPort',
  'HTTPRouteResponseHeaderModification',
  'GRPCRoute',
];

const HELP = `Runs the mesh tests of Gateway API's conformance suite, unmodified, on a real Kubernetes with Tulle. Needs root and Go.

Usage: npm run test:conformance -- [flags]

  -o, --output FILE   where the report goes (default dist/conformance/report.yaml), beside it what the suite said
  --suite VERSION     of the suite and of Gateway API: ${Object.keys(SUITES).join(', ')} (default ${DEFAULT_SUITE})
  --test NAME         only this test, such as MeshHTTPRouteWeight; no report
  --quick             wait 5 seconds and not 30 for what a test expects: such a run is no proof
  --keep              leave the cluster running until Ctrl-C, and print KUBECONFIG
  --tulle-flags ARGS  for \`tulle install\`, such as --tiny
  -h, --help          show this help

Ends with status ${EXIT_UNSUPPORTED} where the machine cannot run it.
`;

type Options = {
  readonly output: string;
  readonly version: string;
  readonly test: string | undefined;
  readonly isQuick: boolean;
  readonly keep: boolean;
  readonly tulleFlags: readonly string[];
};

function note(text: string): void {
  process.stderr.write(`test:conformance: ${text}\n`);
}

/** @throws Error  when the command line is wrong */
function readOptions(): Options | 'help' {
  const { values } = parseArgs({
    options: {
      output: { type: 'string', short: 'o' },
      suite: { type: 'string', default: DEFAULT_SUITE },
      test: { type: 'string' },
      quick: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      'tulle-flags': { type: 'string', default: '' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help === true) return 'help';
  if (SUITES[values.suite] === undefined)
    throw new Error(`--suite ${values.suite}: there is ${Object.keys(SUITES).join(' and ')}`);
  return {
    output: values.output === undefined ? join(ROOT, 'dist/conformance/report.yaml') : resolve(values.output),
    version: values.suite,
    test: values.test,
    isQuick: values.quick,
    keep: values.keep,
    tulleFlags: values['tulle-flags'].split(' ').filter((flag) => flag !== ''),
  };
}

/** Runs a program to its end. @returns what it printed. @throws Error  with what it said when it fails */
function run(program: string, args: readonly string[], kubeconfig: string, input = ''): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    encoding: 'utf8',
    input,
    env: { ...process.env, KUBECONFIG: kubeconfig },
    timeout: COMMAND_MS,
    maxBuffer: OUTPUT_MAX,
  });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? stderr.trim()}`);
  return stdout;
}

/** Installs Gateway API and Tulle as a user does. */
async function install(cluster: Kubernetes, kubectl: string, definitions: readonly string[], flags: readonly string[]) {
  const { kubeconfig } = cluster;
  const files = definitions.flatMap((file) => ['-f', file]);
  run(kubectl, ['apply', '--server-side', ...files], kubeconfig);
  run(kubectl, ['wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all'], kubeconfig);
  const manifest = run(process.execPath, [join(ROOT, 'cli/main.ts'), 'install', ...flags], kubeconfig);
  run(kubectl, ['apply', '-f', '-'], kubeconfig, manifest);
  const connection = await connect({ kubeconfig });
  try {
    await waitForDeployments(connection, ['tulle'], READY_MS, () => undefined);
  } finally {
    connection.close();
  }
}

function suiteFlags({ output, test, isQuick }: Options): readonly string[] {
  const report = [
    `-report-output=${output}`,
    '-organization=tulle',
    '-project=tulle',
    '-url=https://tulle.dev',
    `-version=v${VERSION}`,
    '-contact=https://tulle.dev',
  ];
  return [
    '-test.v',
    '-test.run=^TestConformance$',
    `-test.timeout=${RUN_MINUTES}m`,
    '-conformance-profiles=MESH-HTTP,MESH-GRPC',
    `-supported-features=${FEATURES.join(',')}`,
    '-namespace-annotations=linkerd.io/inject=enabled',
    ...(test === undefined ? report : [`-run-test=${test}`]),
    ...(isQuick ? ['-timeout-config-overrides=MaxTimeToConsistency:5'] : []),
  ];
}

/** @returns exit status and output of the suite */
async function runSuite(suite: string, options: Options, kubeconfig: string) {
  const child = spawn(suite, suiteFlags(options), {
    env: { ...process.env, KUBECONFIG: kubeconfig },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      if (output.length < OUTPUT_MAX) output += text;
    });
  }
  const status = await new Promise<number | null>((end, fail) => void child.once('close', end).once('error', fail));
  return { status, output };
}

/** Runs the suite and prints how its tests ended. @returns whether all passed */
async function judge(cluster: Kubernetes, suite: string, options: Options): Promise<boolean> {
  mkdirSync(dirname(options.output), { recursive: true });
  rmSync(options.output, { force: true }); // a report of an earlier run would be taken for one of this
  const { status, output } = await runSuite(suite, options, cluster.kubeconfig);
  const log = `${options.output.replace(/\.yaml$/, '')}.log`;
  writeFileSync(log, output);
  const outcomes = meshOutcomes(output).filter(({ test }) => options.test === undefined || test === options.test);
  for (const { test, result } of outcomes) process.stdout.write(`${result}  ${test}\n`);
  const passed = outcomes.filter(({ result }) => result === 'PASS').length;
  process.stdout.write(`${passed} of ${outcomes.length} mesh tests of Gateway API ${options.version} passed\n`);
  const problems = shortcomings(outcomes, options.test === undefined ? (SUITES[options.version] ?? 0) : 1);
  if (status !== 0) problems.push(`the suite ended with ${status ?? 'a signal'}`);
  for (const problem of problems) process.stdout.write(`WRONG: ${problem}\n`);
  if (options.test === undefined) process.stdout.write(`report: ${options.output}\n`);
  process.stdout.write(`log: ${log}\n`);
  return problems.length === 0;
}

async function untilSignal(cluster: Kubernetes): Promise<void> {
  process.stdout.write(`export KUBECONFIG=${cluster.kubeconfig}\n`);
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  await new Promise<void>((end) => {
    for (const signal of signals) process.once(signal, () => end());
  });
}

async function runOnCluster(programs: Programs, conformance: ConformancePrograms, image: string, options: Options) {
  const cluster = await startKubernetes(programs, [image, conformance.echoImage]);
  try {
    await install(cluster, join(programs.folder, 'kubectl'), conformance.definitions, options.tulleFlags);
    const isGood = await judge(cluster, conformance.suite, options);
    if (options.keep) await untilSignal(cluster);
    return isGood;
  } finally {
    await cluster.stop();
  }
}

async function main(): Promise<number> {
  let options: Options | 'help';
  try {
    options = readOptions();
  } catch (error) {
    note((error as Error).message);
    return EXIT_USAGE;
  }
  if (options === 'help') {
    process.stdout.write(HELP);
    return 0;
  }
  const folder = mkdtempSync(join(tmpdir(), 'tulle-images-'));
  try {
    let programs: Programs, conformance: ConformancePrograms, image: string;
    try {
      requireCluster(note);
      programs = buildPrograms(note);
      conformance = buildConformancePrograms(join(import.meta.dirname, 'suites', options.version), note);
      image = buildImage('tulle', folder);
    } catch (error) {
      // Most often a registry that cannot be reached. What can be wrong with our own part of it has tests of its own.
      const what = error instanceof Unsupported ? 'started' : 'built';
      note(`NOT RUN: what it needs cannot be ${what} here: ${(error as Error).message}`);
      return EXIT_UNSUPPORTED;
    }
    return (await runOnCluster(programs, conformance, image, options)) ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

process.exitCode = await main();
