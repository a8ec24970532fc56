// `npm run check`: types, lint and format, in that order; the first failing tool decides the exit code.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const bin = (name: string) => join(root, 'node_modules', '.bin', name);
const tools: readonly (readonly [string, readonly string[]])[] = [
  ['tsc', ['--pretty', 'false']],
  ['tsc', ['--pretty', 'false', '--project', 'viz/dashboard']], // the page: JavaScript for browsers, checked by its JSDoc
  ['oxlint', ['--quiet', '--type-aware']],
  ['oxfmt', ['--check', '.']],
];
for (const [name, args] of tools) {
  const run = spawnSync(bin(name), args, { cwd: root, stdio: 'inherit' });
  if (run.status !== 0) {
    process.stderr.write(`check: ${name} failed${name === 'oxfmt' ? '; `npm run format` repairs it' : ''}\n`);
    process.exit(run.status ?? 1);
  }
}
process.stdout.write('check: types, lint and format are fine\n');
