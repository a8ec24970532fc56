// `npm run bench`: our pair of proxies against nginx's and haproxy's, in turn in one run.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { BUNDLE_FOLDER } from '../../control-plane/install/bundle.ts';
import { startBackend } from './backend.ts';
import { LOADS, run, type Load } from './load.ts';
import { cpuMicros, memoryOf } from './measure.ts';
import { direct, startTulle, type Pair } from './pair.ts';
import { startPeers } from './peers.ts';
import { Place } from './place.ts';
import { formatReport, type Footprint, type PairMemory, type Row } from './report.ts';
import { requirePrograms } from './requirements.ts';

const EXIT_USAGE = 2;
const INSIDE = '--inside';
const WARM_UP_SECONDS = 1;
const QUIET_MS = 12_000;

const HELP = `Compares our pair of proxies with nginx's and haproxy's, in turn in one run: mutual TLS between the two of a pair, all
connections redirected by the kernel, the two proxies of a pair on one core, load and application on another.

Usage: npm run bench -- [flags]

Flags:
  --loads LIST       which, separated by commas (default: all)
  --pairs LIST       direct, nginx, haproxy-h1, haproxy-h2, tulle (default: all)
  --rounds N         each of them so many times (default: 5)
  --seconds N        each time so long (default: 3)
  --node-flags LIST  flags of Node for our proxies, separated by spaces
  --profile          write CPU profiles of our proxies to dist/profile, for a browser's developer tools
  -o, --output FILE  all single results as JSON lines
  -h, --help         show this help

Loads:
${LOADS.map(({ name, help }) => `  ${name.padEnd(10)} ${help}`).join('\n')}

Examples:
  npm run bench
  npm run bench -- --loads small,1m --pairs haproxy-h1,tulle --rounds 3
  npm run bench -- --loads small --pairs tulle --profile
`;

class UsageFault extends Error {}

function readOptions(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      loads: { type: 'string' },
      pairs: { type: 'string' },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '3' },
      'node-flags': { type: 'string', default: '' },
      profile: { type: 'boolean', default: false },
      output: { type: 'string', short: 'o' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const number = (name: 'rounds' | 'seconds'): number => {
    const value = Number(values[name]);
    if (!(value > 0 && value <= 600))
      throw new UsageFault(`--${name} is "${values[name]}": use a number from 1 to 600`);
    return value;
  };
  const loads = values.loads?.split(',').map((name) => {
    const load = LOADS.find((one) => one.name === name);
    if (load === undefined)
      throw new UsageFault(`--loads names "${name}": use ${LOADS.map((one) => one.name).join(', ')}`);
    return load;
  });
  return {
    ...values,
    loads: loads ?? LOADS,
    pairs: values.pairs?.split(','),
    rounds: number('rounds'),
    seconds: number('seconds'),
    nodeFlags: values['node-flags'].split(' ').filter((flag) => flag !== ''),
  };
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
  const { loads, rounds, seconds, nodeFlags, profile } = options;
  using place = new Place();
  await startBackend(place);
  const profileFlags = profile ? ['--cpu-prof', `--cpu-prof-dir=${profileFolder()}`] : [];
  const all = [direct(place), ...(await startPeers(place)), await startTulle(place, [...nodeFlags, ...profileFlags])];
  const unknown = options.pairs?.find((name) => !all.some((pair) => pair.name === name));
  if (unknown !== undefined)
    throw new UsageFault(`--pairs names "${unknown}": use ${all.map(({ name }) => name).join(', ')}`);
  const pairs = all.filter(({ name }) => options.pairs?.includes(name) !== false);
  await sleep(QUIET_MS);
  const idle = new Map(pairs.map((pair) => [pair.name, memoryOfPair(pair)]));
  const rows: Row[] = [];
  for (const load of loads) {
    for (let round = 0; round < rounds; round += 1) {
      for (const pair of turn(pairs, round)) {
        if (pair.ports[load.port] === undefined) continue;
        rows.push(await measure(place, pair, load, round, seconds));
        process.stderr.write('.');
      }
    }
  }
  process.stderr.write('\n');
  const loaded = new Map(pairs.map((pair) => [pair.name, memoryOfPair(pair)]));
  await sleep(QUIET_MS);
  const footprints: Footprint[] = pairs
    .filter(({ pids }) => pids.out.length > 0)
    .map((pair) => ({
      pair: pair.name,
      idle: idle.get(pair.name)!,
      loaded: loaded.get(pair.name)!,
      after: memoryOfPair(pair),
    }));
  if (options.output !== undefined)
    writeFileSync(options.output, [...rows, ...footprints].map((row) => `${JSON.stringify(row)}\n`).join(''));
  process.stdout.write(formatReport(loads, rows, footprints));
  if (profile) await endOf(all.at(-1)!);
  return 0;
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

async function measure(place: Place, pair: Pair, load: Load, round: number, seconds: number): Promise<Row> {
  await run(place, pair, load, WARM_UP_SECONDS);
  const before = [cpuMicros(pair.pids.out), cpuMicros(pair.pids.in)] as const;
  const sample = await run(place, pair, load, seconds);
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
