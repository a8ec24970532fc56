// `npm run test:h2spec`: the conformance tests of h2spec (RFC 9113, RFC 7541) on every listener that takes HTTP/2.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compile, goProgram, programCache, sourcesHash } from '../../../test/harness/go-program.ts';
import { Listeners, type Listener } from './listeners.ts';
import { readReport, type Outcome } from './report.ts';

/** This machine cannot run the tests: neither passed nor failed. */
const EXIT_UNSUPPORTED = 77;
const PROGRAM = join(import.meta.dirname, 'program');
const RUN_MS = 300_000;

function note(text: string): void {
  process.stderr.write(`test:h2spec: ${text}\n`);
}

/** @returns the program, built once for each version of its sources. @throws Error  when that does not work here */
function buildProgram(): string {
  const file = join(programCache(), `h2spec-${sourcesHash(PROGRAM, ['go.mod', 'go.sum', 'main.go'])}`);
  if (existsSync(file)) return file;
  const go = goProgram();
  if (go === undefined) throw new Error('it needs Go 1.24 or newer, which builds h2spec');
  note('building h2spec from Go modules, once');
  mkdirSync(programCache(), { recursive: true });
  const fresh = `${file}.${process.pid}`;
  compile(go, PROGRAM, '.', fresh, '-s -w');
  renameSync(fresh, file);
  return file;
}

async function run(program: string, { name, port }: Listener, folder: string): Promise<readonly Outcome[]> {
  const report = join(folder, `${port}.xml`);
  const child = spawn(program, ['-port', String(port), '-report', report], { stdio: ['ignore', 'ignore', 'inherit'] });
  const timer = setTimeout(() => child.kill('SIGKILL'), RUN_MS);
  const code = await new Promise<number | null>((resolve) => void child.once('close', resolve));
  clearTimeout(timer);
  if (code !== 0) throw new Error(`h2spec ended with ${code ?? 'a signal'} at the listener ${name}`);
  return readReport(readFileSync(report, 'utf8'));
}

/** @returns whether everything is as it should be */
function judge({ name, exceptions = {} }: Listener, outcomes: readonly Outcome[]): boolean {
  const failed = outcomes.filter(({ failure }) => failure !== undefined);
  const passed = outcomes.length - failed.length;
  process.stdout.write(`${name}: ${passed} of ${outcomes.length} passed\n`);
  let isGood = outcomes.length > 0;
  for (const { title, failure } of failed) {
    const reason = exceptions[title];
    isGood &&= reason !== undefined;
    process.stdout.write(`  ${title}\n    ${reason === undefined ? `FAILED: ${failure}` : `known: ${reason}`}\n`);
  }
  for (const title of Object.keys(exceptions)) {
    if (failed.some((one) => one.title === title)) continue;
    isGood = false;
    process.stdout.write(`  ${title}\n    PASSED: it is no exception any more\n`);
  }
  return isGood;
}

let program: string;
try {
  program = buildProgram();
} catch (error) {
  note(`h2spec cannot be built here: ${(error as Error).message}`);
  process.exit(EXIT_UNSUPPORTED);
}
const folder = mkdtempSync(join(tmpdir(), 'h2spec-'));
try {
  await using listeners = await Listeners.open();
  let isGood = true;
  for (const listener of listeners.all) isGood = judge(listener, await run(program, listener, folder)) && isGood;
  process.exitCode = isGood ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true });
}
