// `npm run bench:control-plane`: how soon changes reach proxies in a large cluster, and what that costs.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { BUNDLE_FOLDER } from '../install/bundle.ts';
import { measure } from './measurement.ts';
import { BUDGET_P99_MS, formatJson, formatText, problemsOf } from './report.ts';

const EXIT_OVER_BUDGET = 1;
const EXIT_USAGE = 2;

const HELP = `Measures the destination process in a large cluster: the sandbox's API server, the process as it is shipped, and simulated
proxies, each in a process of its own. Ends with ${EXIT_OVER_BUDGET} when news take too long (p99 above ${BUDGET_P99_MS} ms) or do not arrive.

Usage: npm run bench:control-plane -- [flags]

Flags:
  --services N       Services (default: 500)
  --endpoints N      endpoints of all of them together (default: 5000)
  --namespaces N     that they are in (default: 10)
  --proxies N        simulated proxies, each with 17 streams at 5 targets (default: 300)
  --targets N        Services that each proxy talks to (default: 5)
  --rate N           changes a second: endpoints 6 of 10, outbound and inbound policies 2 each (default: 50)
  --seconds N        for so long (default: 20)
  --profile          write a CPU profile of the process to dist/profile, for a browser's developer tools
  -o, --output TYPE  text or json (default: text)
  -h, --help         show this help

Examples:
  npm run bench:control-plane
  npm run -s bench:control-plane -- -o json
  npm run bench:control-plane -- --namespaces 1 --seconds 10 --profile
`;

class UsageFault extends Error {}

const NUMBERS = {
  services: { fallback: 500, max: 5_000 },
  endpoints: { fallback: 5_000, max: 60_000 },
  namespaces: { fallback: 10, max: 1_000 },
  proxies: { fallback: 300, max: 2_000 },
  targets: { fallback: 5, max: 50 },
  rate: { fallback: 50, max: 1_000 },
  seconds: { fallback: 20, max: 600 },
} as const;
type NumberFlag = keyof typeof NUMBERS;

function readOptions(args: readonly string[]) {
  const numbers = Object.keys(NUMBERS) as readonly NumberFlag[];
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...(Object.fromEntries(numbers.map((name) => [name, { type: 'string' }])) as Record<
        NumberFlag,
        { readonly type: 'string' }
      >),
      profile: { type: 'boolean', default: false },
      output: { type: 'string', short: 'o', default: 'text' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const number = (name: NumberFlag): number => {
    const { fallback, max } = NUMBERS[name];
    const value = values[name] === undefined ? fallback : Number(values[name]);
    if (Number.isInteger(value) && value >= 1 && value <= max) return value;
    throw new UsageFault(`--${name} is "${values[name]}": use a whole number from 1 to ${max}`);
  };
  if (values.output !== 'text' && values.output !== 'json')
    throw new UsageFault(`--output is "${values.output}": use text or json`);
  return {
    isHelp: values.help,
    isJson: values.output === 'json',
    isProfile: values.profile,
    size: { services: number('services'), endpoints: number('endpoints'), namespaces: number('namespaces') },
    proxies: number('proxies'),
    targets: number('targets'),
    rate: number('rate'),
    seconds: number('seconds'),
  };
}

async function main(args: readonly string[]): Promise<number> {
  const options = readOptions(args);
  if (options.isHelp) {
    process.stdout.write(HELP);
    return 0;
  }
  const folder = join(BUNDLE_FOLDER, 'profile');
  if (options.isProfile) mkdirSync(folder, { recursive: true });
  const nodeFlags = options.isProfile ? ['--cpu-prof', `--cpu-prof-dir=${folder}`] : [];
  const progress = (text: string): void => void process.stderr.write(`bench: ${text}\n`);
  const result = await measure({ ...options, nodeFlags, progress });
  process.stdout.write(options.isJson ? formatJson(result) : formatText(result));
  return problemsOf(result).length === 0 ? 0 : EXIT_OVER_BUDGET;
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    const { code, message } = error as { readonly code?: unknown; readonly message?: string };
    const isUsage = error instanceof UsageFault || String(code).startsWith('ERR_PARSE_ARGS');
    process.stderr.write(`bench: ${isUsage ? `${message}; --help says more` : (error as Error).stack}\n`);
    process.exit(isUsage ? EXIT_USAGE : EXIT_OVER_BUDGET);
  },
);
