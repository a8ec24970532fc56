#!/usr/bin/env node
// Runs a TypeScript entry with the pinned Node, after installing the packages when the lock file changed.
// Plain JavaScript on purpose: this is the only file that the machine's own Node (>= 20) has to understand.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { arch, constants } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = dirname(realpathSync(fileURLToPath(import.meta.url)));
const modules = join(root, 'node_modules');
const stamp = join(modules, '.tulle-lock-hash');
const MIN_NODE = 20;
const MAX_INSTALL_MS = 15 * 60_000;
const LOCK_POLL_MS = 200;

/** Ends the process with one line that says what is wrong and what to do. */
function fail(message) {
  process.stderr.write(`tulle: ${message}\n`);
  process.exit(1);
}

function lockHash() {
  const hash = createHash('sha256');
  for (const file of ['package.json', 'package-lock.json']) hash.update(readFileSync(join(root, file)));
  return hash.digest('hex');
}

function isInstalled(hash) {
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === hash;
}

/**
 * Waits until nobody else installs into this checkout. The lock is a name that the kernel keeps as long as a process has it
 * open, so the lock of a process that died is none.
 */
async function lockInstallation() {
  const name = `\0tulle-install-${createHash('sha256').update(root).digest('hex')}`;
  const untilMs = Date.now() + MAX_INSTALL_MS;
  for (let tries = 1; ; tries += 1) {
    const lock = createServer();
    const error = await new Promise((done) => lock.once('error', done).listen(name, () => done(undefined)));
    if (error === undefined) return lock;
    if (error.code !== 'EADDRINUSE') fail(`cannot lock the installation of packages: ${error.message}`);
    if (Date.now() > untilMs)
      fail(
        `another process has been installing packages into ${modules} for too long: end it (\`npm ci\`), and try again`,
      );
    if (tries === 1) process.stderr.write('tulle: waiting for another process that installs the packages ...\n');
    await sleep(LOCK_POLL_MS);
  }
}

async function install(hash) {
  const lock = await lockInstallation();
  if (!isInstalled(hash)) runNpm(hash, lock);
  lock.close();
}

function runNpm(hash, lock) {
  process.stderr.write('tulle: installing packages (only when the lock file changed) ...\n');
  try {
    mkdirSync(modules, { recursive: true });
  } catch (error) {
    fail(`cannot write ${modules} (${error.code}): run this as the owner of the checkout`);
  }
  rmSync(stamp, { force: true });
  const npm = spawnSync('npm', ['ci', '--ignore-scripts', '--no-fund', '--no-audit', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe', lock._handle.fd], // so it keeps the lock should this process be killed
    encoding: 'utf8',
    timeout: MAX_INSTALL_MS,
    env: { ...process.env, npm_config_engine_strict: 'false' },
  });
  if (npm.error?.code === 'ENOENT')
    fail('npm is not installed: install it (for example `apt-get install npm`) and try again');
  if (npm.status !== 0) {
    process.stderr.write(npm.stderr ?? '');
    fail('`npm ci` failed (see above): check the network and the npm registry setting, then try again');
  }
  writeFileSync(stamp, hash);
}

if (Number(process.versions.node.split('.')[0]) < MIN_NODE) {
  fail(`Node ${process.versions.node} is too old: install Node ${MIN_NODE} or newer (https://nodejs.org)`);
}
if (process.platform !== 'linux')
  fail('Tulle needs a Linux kernel (network namespaces and nftables): run it in a Linux VM');

const hash = lockHash();
if (!isInstalled(hash)) await install(hash);

const node = join(modules, `node-linux-${arch()}`, 'bin', 'node');
if (!existsSync(node)) fail(`no pinned Node for the architecture ${arch()}: Tulle runs on x64 and arm64`);

// npm link and npx start this file itself: then the entry is the command line.
const viaScript = process.argv[2]?.endsWith('.ts') === true;
const entry = resolve(root, viaScript ? process.argv[2] : 'cli/main.ts');
// npm changes to the checkout before it runs a script; files named on the command line are where the caller is.
const isNpmScript = process.env.npm_package_json === join(root, 'package.json');
const callerFolder = viaScript && isNpmScript ? process.env.INIT_CWD : undefined;
const child = spawn(node, ['--disable-warning=ExperimentalWarning', entry, ...process.argv.slice(viaScript ? 3 : 2)], {
  stdio: 'inherit',
  ...(callerFolder !== undefined && existsSync(callerFolder) ? { cwd: callerFolder } : {}),
  env: {
    ...process.env,
    NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(modules, '.cache', 'tulle-compile'),
  },
});
// A terminal sends Ctrl-C to the whole group; the child decides when to end, so this process only waits.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
  });
}
// Whoever started this is gone without a word (SIGKILL): nobody is left to end what runs here.
const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) child.kill('SIGTERM');
}, 1_000).unref();
child.on('error', (error) => fail(`cannot start ${node}: ${error.message}`));
child.on('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 1)));
