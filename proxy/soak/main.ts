// `npm run soak`: a pair of proxies under traffic, faults, churn and renewals for a long time.
import { spawn, spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { inNetns } from '#netlink/namespace.ts';
import { Place } from '../bench/place.ts';
import { SERVICE_IP, SERVICE_PORTS } from '../bench/service.ts';
import { requirePrograms } from '../bench/requirements.ts';
import { seededRandom } from '../../test/harness/random.ts';
import { Clients } from './clients.ts';
import { Mesh } from './mesh.ts';
import { Mischief } from './mischief.ts';
import { Starvation } from './starvation.ts';
import { judge, report, type Burst } from './report.ts';

const EXIT_USAGE = 2;
const INSIDE = '--inside';
const WARM_UP_MS = 20_000;
const SCRAPE_MS = 10_000;
const LOOK_MS = 15_000;
/** Until connections that nobody uses are given up, on both sides. */
const QUIET_MS = 20_000;

const HELP = `A pair of proxies under traffic of all kinds, faults, churn of endpoints and renewals of certificates. Every failure must
be the effect of a fault, memory and descriptors must not grow, what is counted must add up.

Usage: npm run soak -- [flags]

Flags:
  --minutes N   how long (default: 30)
  --requests N  then so many requests as fast as they are answered (default: 0)
  --seed N      of the order of faults (default: by the clock)
  -h, --help    show this help

Exit status: 0 when all is well, 1 when not, 2 for wrong flags.

Examples:
  npm run soak
  npm run soak -- --minutes 0 --requests 1000000
`;

class UsageFault extends Error {}

function readOptions(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: 'string', default: '30' },
      requests: { type: 'string', default: '0' },
      seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const number = (name: 'minutes' | 'requests' | 'seed', max: number): number => {
    const value = Number(values[name]);
    if (!(value >= 0 && value <= max))
      throw new UsageFault(`--${name} is "${values[name]}": use a number up to ${max}`);
    return value;
  };
  return {
    help: values.help,
    minutes: number('minutes', 10_000),
    requests: number('requests', 1e9),
    seed: number('seed', 2 ** 31),
  };
}

async function main(args: readonly string[]): Promise<number> {
  const options = readOptions(args.filter((arg) => arg !== INSIDE));
  if (options.help) {
    process.stdout.write(HELP);
    return 0;
  }
  requirePrograms((text) => process.stderr.write(`soak: ${text}\n`));
  // An ordinary user may make network namespaces in a user namespace of his own.
  if (process.getuid?.() !== 0) return again(args);
  using place = new Place();
  const mesh = await Mesh.start(place);
  const random = seededRandom(options.seed);
  const clients = new Clients(place.client.netns, random);
  const mischief = new Mischief(mesh, random);
  using starvation = new Starvation();
  if (options.minutes > 0) await soak(mesh, clients, mischief, options.minutes * 60_000);
  const burst = options.requests > 0 ? await manyRequests(mesh, options.requests) : undefined;
  const { seed, minutes } = options;
  const run = { minutes, mesh, clients, faults: [...mischief.faults, ...starvation.faults], ...(burst && { burst }) };
  const problems = judge(run);
  process.stdout.write(report({ ...run, seed }, problems));
  return problems.length === 0 ? 0 : 1;
}

async function soak(mesh: Mesh, clients: Clients, mischief: Mischief, durationMs: number): Promise<void> {
  clients.start();
  await sleep(WARM_UP_MS);
  const untilMs = performance.now() + durationMs;
  const looks = [
    every(SCRAPE_MS, untilMs, () => mesh.scrape()),
    every(LOOK_MS, untilMs, async () => {
      await mesh.weigh();
      process.stderr.write('.');
    }),
  ];
  await Promise.all([mischief.run(untilMs), ...looks]);
  await clients.stop();
  await sleep(QUIET_MS);
  await mesh.scrape();
  process.stderr.write('\n');
}

async function every(periodMs: number, untilMs: number, run: () => Promise<void>): Promise<void> {
  while (performance.now() < untilMs) {
    await run();
    await sleep(periodMs);
  }
}

/** Sent in ten parts, with a look at the proxies after each. */
async function manyRequests(mesh: Mesh, requests: number): Promise<Burst> {
  const parts = 10;
  for (const proxy of mesh.proxies) proxy.holdings.length = 0;
  await mesh.scrape();
  const countedBefore = mesh.proxies.map(({ counters }) => counters.sum('request_total')) as [number, number];
  let succeeded = 0;
  for (let part = 0; part < parts; part += 1) {
    succeeded += await h2load(mesh, Math.ceil(requests / parts));
    await mesh.weigh();
    process.stderr.write('.');
  }
  await mesh.scrape();
  process.stderr.write('\n');
  const [out, inbound] = mesh.proxies.map(
    ({ counters }, index) => counters.sum('request_total') - countedBefore[index]!,
  );
  return { requests: Math.ceil(requests / parts) * parts, succeeded, counted: [out!, inbound!] };
}

function h2load({ place }: Mesh, requests: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = inNetns(place.client.netns, () =>
      spawn(
        'h2load',
        ['--h1', '--clients=64', `--requests=${requests}`, `http://${SERVICE_IP}:${SERVICE_PORTS.http}/`],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      ),
    );
    let said = '';
    child.stdout.on('data', (data: Buffer) => {
      said += data.toString();
    });
    child.once('error', reject);
    child.once('close', () => {
      const succeeded = /status codes: (\d+) 2xx/.exec(said)?.[1];
      if (succeeded === undefined) reject(new Error(`h2load said ${said}`));
      else resolve(Number(succeeded));
    });
  });
}

function again(args: readonly string[]): number {
  const inner = [process.execPath, '--disable-warning=ExperimentalWarning', import.meta.filename, ...args, INSIDE];
  const run = spawnSync('unshare', ['--user', '--map-root-user', '--net', '--mount', ...inner], { stdio: 'inherit' });
  return run.status ?? 1;
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`soak: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exit(error instanceof UsageFault ? EXIT_USAGE : 1);
  },
);
