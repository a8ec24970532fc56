// `npm test`: static checks, then every *.test.ts. `npm test -- FILTER...` runs only the files whose path contains a filter.
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const filters = process.argv.slice(2);

const files = globSync('**/*.test.ts', {
  cwd: root,
  exclude: (name) => ['node_modules', '.cache', 'cluster'].includes(name),
})
  .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)))
  .sort();
if (files.length === 0) {
  process.stderr.write(`test: no test file matches ${filters.join(' ')}\n`);
  process.exit(2);
}

function run(args: readonly string[]): void {
  const result = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', ...args], {
    cwd: root,
    stdio: 'inherit',
  });
  if (result.status !== 0) process.exit(result.status ?? 1);
}

if (filters.length === 0) run(['test/check.ts']);
// Two files at a time: a scenario starts a whole sandbox, and machines have two cores.
run(['--test', '--test-concurrency=2', '--test-reporter=spec', ...files]);
