import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';

import { StatusError } from '../apiserver/status-error.ts';
import { execFailure, type ContainerProcess } from './container-process.ts';
import type { ExecOptions, ExecSession } from './node-agent.ts';
import { killSession } from './process-group.ts';

/** Exit codes of a shell and of container runtimes for a program that cannot be started. */
const NOT_FOUND = 127;
const NOT_EXECUTABLE = 126;
/** Children that a command leaves behind may hold its output open; it is not waited for longer than this. */
const OUTPUT_LINGER_MS = 500;

/** Runs a command in a container, for `exec`, probes and hooks. */
export function startExec(container: ContainerProcess, command: readonly string[], options: ExecOptions): ExecSession {
  const argv = options.tty ? withTerminal(command) : command;
  const pipe = (isWanted: boolean): 'pipe' | 'ignore' => (isWanted ? 'pipe' : 'ignore');
  const stderr = pipe(options.stderr && !options.tty);
  const child = container.spawn(
    argv,
    [pipe(options.stdin), pipe(options.stdout), stderr],
    options.tty ? { TERM: 'xterm' } : {},
  );
  if (child.pid === undefined) return failedSession(child, command, options);
  const { pid } = child;
  const { promise, resolve } = Promise.withResolvers<number>();
  child.once('exit', (code, name) => {
    resolve(code ?? 128 + (name === null ? 0 : constants.signals[name]));
    setTimeout(() => {
      child.stdout?.destroy();
      child.stderr?.destroy();
    }, OUTPUT_LINGER_MS).unref();
  });
  child.stdin?.on('error', () => {}); // the command does not read to the end: its business
  return {
    exit: promise,
    kill: () => killSession(pid),
    ...(child.stdin === null ? {} : { stdin: child.stdin }),
    ...(child.stdout === null ? {} : { stdout: child.stdout }),
    ...(child.stderr === null ? {} : { stderr: child.stderr }),
  };
}

type Child = ReturnType<ContainerProcess['spawn']>;

/** A command that did not start: says why where its errors would be. */
function failedSession(child: Child, command: readonly string[], options: ExecOptions): ExecSession {
  const { promise, resolve } = Promise.withResolvers<number>();
  const message = new Readable({ read() {} });
  child.once('error', (error) => {
    message.push(`exec: "${command[0] ?? ''}": ${execFailure(error)}\n`);
    message.push(null);
    resolve('code' in error && error.code === 'ENOENT' ? NOT_FOUND : NOT_EXECUTABLE);
  });
  const isOnStderr = options.stderr && !options.tty;
  const silent = Readable.from([]);
  return {
    exit: promise,
    kill: () => {},
    ...(child.stdin === null ? {} : { stdin: child.stdin }),
    ...(options.stdout ? { stdout: isOnStderr ? silent : message } : {}),
    ...(isOnStderr ? { stderr: message } : {}),
  };
}

/** util-linux `script` makes the terminal and copies between it and the pipes. Its size cannot be changed. */
function withTerminal(command: readonly string[]): readonly string[] {
  const program = ['/usr/bin', '/bin', '/usr/local/bin'].map((path) => join(path, 'script')).find(existsSync);
  if (program === undefined) {
    throw new StatusError(501, 'NotImplemented', 'exec with a terminal needs the program "script" of util-linux');
  }
  const quoted = command.map((word) => `'${word.replaceAll("'", String.raw`'\''`)}'`).join(' ');
  return [program, '--quiet', '--flush', '--return', '--command', quoted, '/dev/null'];
}
