import type { ExecOptions, ExecSession, NodeAgent } from '../../node/node-agent.ts';
import type { KubeObject } from '../object.ts';
import { field } from '../objects/json.ts';
import type { Status } from '../status-error.ts';
import { asStatusError, badRequest } from '../status-error.ts';
import { chooseContainer, flag, namespaceOf } from './parameters.ts';
import { RESIZE, STDERR, STDIN, STDOUT, type RemoteChannels } from './remote-command.ts';

const COMMAND_PARTS_MAX = 4096;
const TERMINAL_MAX = 65_535;

/** A checked request for exec. Source: core v1 `PodExecOptions`. */
export type ExecRequest = {
  readonly container: string;
  readonly command: readonly string[];
  readonly options: ExecOptions;
};

/** Throws 400 for what can never run, before the connection is upgraded. */
export function parseExec(pod: KubeObject, query: URLSearchParams): ExecRequest {
  const command = query.getAll('command');
  if (command.length === 0) throw badRequest('you must specify at least one command for the container');
  if (command.length > COMMAND_PARTS_MAX) throw badRequest(`the command has more than ${COMMAND_PARTS_MAX} parts`);
  return { container: chooseContainer(pod, query), command, options: parseStreams(query) };
}

export function parseStreams(query: URLSearchParams): ExecOptions {
  const tty = flag(query, 'tty');
  const options = {
    stdin: flag(query, 'stdin'),
    stdout: flag(query, 'stdout'),
    stderr: flag(query, 'stderr') && !tty, // a terminal has one output
    tty,
  };
  if (!options.stdin && !options.stdout && !options.stderr) {
    throw badRequest('you must specify at least 1 of stdin, stdout, stderr');
  }
  return options;
}

/** The channels that a client with these options opens. */
export function channelsOf({ stdin, stdout, stderr, tty }: ExecOptions): readonly number[] {
  const wanted = [
    [STDIN, stdin],
    [STDOUT, stdout],
    [STDERR, stderr],
    [RESIZE, tty],
  ] as const;
  return wanted.filter(([, isWanted]) => isWanted).map(([channel]) => channel);
}

/** Runs the command and carries its streams until it has ended or the client is gone. */
export async function serveExec(
  channels: RemoteChannels,
  gone: AbortSignal,
  agent: NodeAgent,
  pod: KubeObject,
  { container, command, options }: ExecRequest,
): Promise<void> {
  let session: ExecSession;
  try {
    session = agent.exec(namespaceOf(pod), pod.metadata.name, container, command, options);
  } catch (error) {
    await channels.finish(asStatusError(error).toStatus());
    return;
  }
  gone.addEventListener('abort', () => session.kill());
  connectInput(channels, session);
  const outputs = [
    ...(session.stdout === undefined ? [] : [channels.pipe(STDOUT, session.stdout)]),
    ...(session.stderr === undefined ? [] : [channels.pipe(STDERR, session.stderr)]),
  ];
  const code = await session.exit;
  await Promise.all(outputs);
  await channels.finish(exitStatus(code));
}

function connectInput(channels: RemoteChannels, session: ExecSession): void {
  const { stdin } = session;
  stdin?.on('error', () => undefined); // the command closed its input: what comes is dropped
  channels.receive({
    data(channel, bytes) {
      if (channel === RESIZE) resize(session, bytes);
      if (channel !== STDIN || stdin === undefined || !stdin.writable) return undefined;
      stdin.write(bytes);
      return stdin;
    },
    end(channel) {
      if (channel === STDIN) stdin?.end();
    },
  });
}

function resize(session: ExecSession, bytes: Buffer): void {
  let size: unknown;
  try {
    size = JSON.parse(bytes.toString('utf8'));
  } catch {
    return; // not worth ending a session for
  }
  const width = field(size, 'Width');
  const height = field(size, 'Height');
  if (isTerminalSize(width) && isTerminalSize(height)) session.resize?.(width, height);
}

function isTerminalSize(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) > 0 && Number(value) <= TERMINAL_MAX;
}

/** Source: remotecommand `NonZeroExitCodeReason`. */
export function exitStatus(code: number): Status | { metadata: object; status: string } {
  if (code === 0) return { metadata: {}, status: 'Success' };
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    reason: 'NonZeroExitCode',
    message: `command terminated with non-zero exit code: exit status ${code}`,
    details: { causes: [{ reason: 'ExitCode', message: String(code) }] },
  };
}
