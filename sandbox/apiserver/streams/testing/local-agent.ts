import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { connect, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import type { ExecOptions, ExecSession, LogOptions, NodeAgent } from '../../../node/node-agent.ts';
import { badRequest } from '../../status-error.ts';

/** A node whose containers are processes of this machine, for tests of the streams alone. Pods and containers are not told apart. */
export class LocalAgent implements NodeAgent {
  readonly sizes: string[] = [];
  readonly logCalls: LogOptions[] = [];
  readonly killed: string[] = [];
  readonly openSockets = new Set<Socket>();
  logText: readonly string[] = ['one\n', 'two\n'];

  logs(_namespace: string, pod: string, container: string, options: LogOptions): Readable {
    if (options.previous) {
      throw badRequest(`previous terminated container "${container}" in pod "${pod}" not found`);
    }
    this.logCalls.push(options);
    return Readable.from(this.logText.map((line) => Buffer.from(line)));
  }

  exec(
    _namespace: string,
    _pod: string,
    _container: string,
    command: readonly string[],
    options: ExecOptions,
  ): ExecSession {
    const [file = '', ...args] = command;
    if (file === 'refused') throw badRequest('container is not running');
    const child = spawn(file, args, { stdio: 'pipe' });
    const exit = new Promise<number>((resolve) => {
      child.once('error', () => resolve(127));
      child.once('exit', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
    });
    if (!options.stdin) child.stdin.end();
    if (!options.stdout) child.stdout.resume();
    if (!options.stderr) child.stderr.resume();
    return {
      ...(options.stdin ? { stdin: child.stdin } : {}),
      ...(options.stdout ? { stdout: child.stdout } : {}),
      ...(options.stderr ? { stderr: child.stderr } : {}),
      exit,
      resize: (width, height) => this.sizes.push(`${width}x${height}`),
      kill: () => {
        if (child.exitCode === null && child.signalCode === null) this.killed.push(file);
        child.kill('SIGKILL');
      },
    };
  }

  portForward(_namespace: string, _pod: string, port: number): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      this.openSockets.add(socket);
      socket.once('close', () => this.openSockets.delete(socket));
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(socket);
      });
    });
  }
}
