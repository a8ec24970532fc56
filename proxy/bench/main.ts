// `npm run bench`: our pair of proxies against nginx's and haproxy's, in turn in one run.
import { spawnSync } from 'node:child_process';
import {
  accessSync,
  appendFileSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { BUNDLE_FOLDER } from '../../control-plane/install/bundle.ts';
import { startBackend } from './backend.ts';
import { LINKERD_VARIABLE, startLinkerd } from './linkerd.ts';
import { measureIdle, type IdleMemory } from './idle.ts';
import { LOADS, run, type Load } from './load.ts';
import { cpuMicros, memoryOf } from './measure.ts';
import { BASELINE_VARIABLE, NODE_VARIABLE, direct, startBaseline, startTulle, type Pair } from './pair.ts';
import { startPeers } from './peers.ts';
import { Place } from './place.ts';
import { formatFootprints, formatIdle, formatLoad, formatStartUps, type PairMemory, type Row } from './report.ts';
import { requirePrograms } from './requirements.ts';
import { measureStartUp, type StartUp } from './startup.ts';

const EXIT_USAGE = 2;
const INSIDE = '--inside';
const WARM_UP_SECONDS = 1;
const QUIET_MS = 12_000;
/** Until a proxy of ours has given back what a burst has left: it collects at most once a minute (`proxy/idle-memory.ts`). */
const AFTER_MS = 70_000;
const PARTS = ['loads', 'idle', 'start'] as const;
/** Ports that one client has. */
const IDLE_MAX = 20_000;

const HELP = `Compares our pair of proxies with nginx's and haproxy's, in turn in one run: mutual TLS between the two of a pair, all
connections redirected by the kernel, the two proxies of a pair on one core, load and application on another.

Usage: npm run bench -- [flags]

Flags:
  --parts LIST       loads, idle, start (default: all; with --loads only those)
  --loads LIST       which, separated by commas (default: all)
  --pairs LIST       direct, nginx, haproxy-h1, haproxy-h2, tulle, baseline, linkerd2-proxy (default: all)
  --rounds N         each of them so many times (default: 5)
  --seconds N        each time so long (default: 3)
  --idle N           idle connections (default: 10000)
  --starts N         starts of each outbound proxy (default: 9)
  --node-flags LIST  flags of Node for our proxies, separated by spaces
  --profile          write CPU profiles of our proxies to dist/profile, for a browser's developer tools
  -o, --output FILE  all single results as JSON lines
  -h, --help         show this help

Environment:
  ${BASELINE_VARIABLE}        bundle (dist/tulle.cjs) of another version of ours, which joins as the pair "baseline"
  ${NODE_VARIABLE}            file of another Node to run ours with
  ${LINKERD_VARIABLE}  file of a linkerd2-proxy, which joins as a pair

Loads:
${LOADS.map(({ name, help }) => `  ${name.padEnd(10)} ${help}`).join('\n')}

Examples:
  npm run bench
  npm run bench -- --loads small,1m --pairs haproxy-h1,tulle --rounds 3
  npm run bench -- --loads small --pairs tulle --profile
  npm run bench -- --parts idle,start --pairs nginx,tulle
`;

class UsageFault extends Error {}

function readOptions(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      parts: { type: 'string' },
      loads: { type: 'string' },
      pairs: { type: 'string' },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '3' },
      idle: { type: 'string', default: '10000' },
      starts: { type: 'string', default: '9' },
      'node-flags': { type: 'string', default: '' },
      profile: { type: 'boolean', default: false },
      output: { type: 'string', short: 'o' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const number = (name: 'rounds' | 'seconds' | 'idle' | 'starts', max = 600): number => {
    const value = Number(values[name]);
    if (!(value > 0 && value <= max))
      throw new UsageFault(`--${name} is "${values[name]}": use a number from 1 to ${max}`);
    return value;
  };
  const parts = values.parts?.split(',') ?? (values.loads === undefined ? PARTS : ['loads']);
  const unknown = parts.find((part) => !(PARTS as readonly string[]).includes(part));
  if (unknown !== undefined) throw new UsageFault(`--parts names "${unknown}": use ${PARTS.join(', ')}`);
  const loads = values.loads?.split(',').map((name) => {
    const load = LOADS.find((one) => one.name === name);
    if (load === undefined)
      throw new UsageFault(`--loads names "${name}": use ${LOADS.map((one) => one.name).join(', ')}`);
    return load;
  });
  return {
    ...values,
    linkerd: fileOf(LINKERD_VARIABLE, constants.X_OK),
    baseline: fileOf(BASELINE_VARIABLE, constants.R_OK),
    node: fileOf(NODE_VARIABLE, constants.X_OK),
    parts,
    loads: parts.includes('loads') ? (loads ?? LOADS) : [],
    pairs: values.pairs?.split(','),
    rounds: number('rounds'),
    seconds: number('seconds'),
    idle: number('idle', IDLE_MAX),
    starts: number('starts'),
    nodeFlags: values['node-flags'].split(' ').filter((flag) => flag !== ''),
  };
}

/**
 * @param mode  what it must allow
 * @throws UsageFault  when it names no such file
 */
function fileOf(variable: string, mode: number): string | undefined {
  const file = process.env[variable];
  if (file === undefined) return undefined;
  try {
    accessSync(file, mode);
    if (!statSync(file).isFile()) throw new Error('it is not a file');
  } catch (error) {
    throw new UsageFault(`${variable} is "${file}", which cannot be used: ${(error as Error).message}`);
  }
  return resolve(file);
}

async function main(args: readonly string[]): Promise<number> {
  const options = readOptions(args.filter((arg) => arg !== INSIDE));
  if (options.help) {
    process.stdout.write(HELP);
    return 0;
  }
  requirePrograms((text) => process.stderr.write(`bench: ${text}\n`));
  // An ordinary user may make network namespaces in a user namespace of his own.
  if (process.getuid?.() !== 0) return again(args);
  const { node, nodeFlags, profile } = options;
  using place = new Place();
  using baselinePlace = options.baseline === undefined ? undefined : new Place();
  using linkerdPlace = options.linkerd === undefined ? undefined : new Place();
  await startBackend(place);
  const profileFlags = profile ? ['--cpu-prof', `--cpu-prof-dir=${profileFolder()}`] : [];
  const present = [
    direct(place),
    ...(await startPeers(place)),
    await startTulle(place, { node, flags: [...nodeFlags, ...profileFlags] }),
  ];
  if (baselinePlace !== undefined && options.baseline !== undefined) {
    await startBackend(baselinePlace);
    present.push(await startBaseline(baselinePlace, options.baseline, { node, flags: nodeFlags }));
  }
  if (linkerdPlace !== undefined && options.linkerd !== undefined) {
    await startBackend(linkerdPlace);
    present.push(await startLinkerd(linkerdPlace, options.linkerd));
  }
  const unknown = options.pairs?.find((name) => !present.some((pair) => pair.name === name));
  if (unknown !== undefined)
    throw new UsageFault(`--pairs names "${unknown}": use ${present.map(({ name }) => name).join(', ')}`);
  const pairs = present.filter(({ name }) => options.pairs?.includes(name) !== false);
  // What was measured is told at once: a later part may fail.
  if (options.output !== undefined) writeFileSync(options.output, '');
  const keep = (row: object): void => {
    if (options.output !== undefined) appendFileSync(options.output, `${JSON.stringify(row)}\n`);
  };
  await sleep(QUIET_MS);
  if (options.loads.length > 0) await measureLoads(pairs, options, keep);
  const memories: IdleMemory[] = [];
  const startUps: StartUp[] = [];
  for (const pair of pairs) {
    if (pair.outbound === undefined || pair.ports.http === undefined) continue;
    if (options.parts.includes('idle')) memories.push(await measureIdle(pair, options.idle));
    if (options.parts.includes('start')) startUps.push(await measureStartUp(pair, pair.outbound, options.starts));
  }
  for (const row of [...memories, ...startUps]) keep(row);
  if (memories.length > 0) process.stdout.write(`\n${formatIdle(memories)}`);
  if (startUps.length > 0) process.stdout.write(`\n${formatStartUps(startUps)}`);
  if (profile) await endOf(present.find(({ name }) => name === 'tulle')!);
  return 0;
}

type Options = ReturnType<typeof readOptions>;

/** All loads, and what the proxies hold before, right after and some time after. Each table is written when it is complete. */
async function measureLoads(
  pairs: readonly Pair[],
  { loads, rounds, seconds }: Options,
  keep: (row: object) => void,
): Promise<void> {
  const proxies = pairs.filter(({ pids }) => pids.out.length > 0);
  const memories = (): ReadonlyMap<string, PairMemory> =>
    new Map(proxies.map((pair) => [pair.name, memoryOfPair(pair)]));
  const idle = memories();
  for (const load of loads) {
    const rows: Row[] = [];
    for (let round = 0; round < rounds; round += 1) {
      for (const pair of turn(pairs, round)) {
        if (pair.ports[load.port] === undefined) continue;
        const row = await measure(pair, load, round, seconds);
        rows.push(row);
        keep(row);
        process.stderr.write('.');
      }
    }
    process.stderr.write('\n');
    process.stdout.write(`${formatLoad(load, rows)}\n`);
  }
  const loaded = memories();
  await sleep(AFTER_MS);
  const after = memories();
  const footprints = proxies.map(({ name }) => ({
    pair: name,
    idle: idle.get(name)!,
    loaded: loaded.get(name)!,
    after: after.get(name)!,
  }));
  footprints.forEach(keep);
  process.stdout.write(formatFootprints(footprints));
}

/** The proxies are another user. */
function profileFolder(): string {
  const folder = join(BUNDLE_FOLDER, 'profile');
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o777);
  return folder;
}

/** Each round begins with another pair, and every other one goes backwards: what comes first or last is not favoured. */
function turn(pairs: readonly Pair[], round: number): readonly Pair[] {
  const turned = pairs.map((_, index) => pairs[(index + round) % pairs.length]!);
  return round % 2 === 1 ? turned.reverse() : turned;
}

async function measure(pair: Pair, load: Load, round: number, seconds: number): Promise<Row> {
  await run(pair, load, WARM_UP_SECONDS);
  const before = [cpuMicros(pair.pids.out), cpuMicros(pair.pids.in)] as const;
  const sample = await run(pair, load, seconds);
  const gone = [...pair.pids.out, ...pair.pids.in].filter((pid) => !existsSync(`/proc/${pid}`));
  if (gone.length > 0) throw new Error(`a proxy of ${pair.name} (process ${gone[0]}) has ended during ${load.name}`);
  const done = sample.requests + sample.failed;
  return {
    ...sample,
    load: load.name,
    pair: pair.name,
    round,
    cpuOut: (cpuMicros(pair.pids.out) - before[0]) / done,
    cpuIn: (cpuMicros(pair.pids.in) - before[1]) / done,
  };
}

function memoryOfPair({ pids }: Pair): PairMemory {
  return { out: memoryOf(pids.out), in: memoryOf(pids.in) };
}

/** Ends the proxies in an orderly way: the profile is written then. */
async function endOf({ pids }: Pair): Promise<void> {
  for (const pid of [...pids.out, ...pids.in]) process.kill(pid, 'SIGTERM');
  await sleep(8_000);
}

function again(args: readonly string[]): number {
  const inner = [process.execPath, '--disable-warning=ExperimentalWarning', import.meta.filename, ...args, INSIDE];
  const run = spawnSync('unshare', ['--user', '--map-root-user', '--net', '--mount', ...inner], { stdio: 'inherit' });
  return run.status ?? 1;
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(error instanceof UsageFault ? EXIT_USAGE : 1);
  },
);
