import type { Duplex, Readable, Writable } from 'node:stream';

/** Query of the `pods/{name}/log` subresource, already parsed. Source: PodLogOptions. */
export type LogOptions = {
  readonly follow: boolean;
  readonly previous: boolean; // the instance before the last restart
  readonly timestamps: boolean; // prefix each line with its RFC 3339 time
  readonly tailLines?: number; // integer >= 0
  readonly sinceSeconds?: number; // integer > 0
  readonly limitBytes?: number; // integer > 0
};

/** Which streams of a command the caller wants. Source: PodExecOptions. */
export type ExecOptions = {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean; // one merged output on stdout
};

/** A running command. Streams that were not asked for are absent; the caller ends `stdin`. */
export type ExecSession = {
  readonly stdin?: Writable;
  readonly stdout?: Readable;
  readonly stderr?: Readable;
  /** Exit code of the command, 128 + signal number when a signal ended it. Never rejects. */
  readonly exit: Promise<number>;
  /** Terminal size in characters; absent without a terminal. */
  resize?(width: number, height: number): void;
  /** The caller is gone: end the command and all its children. */
  kill(): void;
};

/**
 * What the API server asks of the node that runs a pod. All three fail with StatusError: 404 for an unknown pod or
 * container, 400 where the container is not in a state to answer, 501 where the machine cannot do it.
 */
export interface NodeAgent {
  /** Throws synchronously; the stream ends with the container unless `follow` waits for a running one. */
  logs(namespace: string, pod: string, container: string, options: LogOptions): Readable;
  /** Throws synchronously; a command that does not exist exits with 126 or 127. */
  exec(
    namespace: string,
    pod: string,
    container: string,
    command: readonly string[],
    options: ExecOptions,
  ): ExecSession;
  /** A TCP connection made inside the pod's network namespace to 127.0.0.1:port; half-close works both ways. */
  portForward(namespace: string, pod: string, port: number): Promise<Duplex>;
}
