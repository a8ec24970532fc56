import type { V1Container, V1HTTPGetAction, V1Probe } from '@kubernetes/client-node';
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import { performance } from 'node:perf_hooks';

import type { ContainerProcess } from './container-process.ts';
import { startExec } from './exec-session.ts';
import { checkGrpcHealth } from './grpc-health.ts';

/** Result of one probe. The message says what went wrong, in the words of a kubelet. */
export type CheckResult = { readonly isHealthy: true } | { readonly isHealthy: false; readonly message: string };

/** Where a container's ports are, and the container itself for commands. */
export type CheckTarget = {
  readonly podIP: string;
  readonly container: V1Container;
  readonly process: ContainerProcess;
};

/** What a probe or a hook does; exactly one field is expected. */
export type CheckAction = Pick<V1Probe, 'exec' | 'httpGet' | 'tcpSocket' | 'grpc'>;

const HEALTHY: CheckResult = { isHealthy: true };
/** By its first part servers tell probes from other requests. */
const PROBE_AGENT = 'kube-probe/1.32';
const OUTPUT_BYTES_MAX = 10 * 1024;
const BODY_BYTES_MAX = 10 * 1024;

/** Runs one check from the node's side, as a kubelet does. Never rejects. */
export async function runCheck(action: CheckAction, target: CheckTarget, timeoutMs: number): Promise<CheckResult> {
  if (action.exec !== undefined) return checkExec(action.exec.command ?? [], target.process, timeoutMs);
  if (action.httpGet !== undefined) return checkHttp(action.httpGet, target, timeoutMs);
  if (action.tcpSocket !== undefined) {
    const port = portNumber(action.tcpSocket.port, target.container);
    if (port === undefined) return unknownPort(action.tcpSocket.port);
    return checkTcp(action.tcpSocket.host ?? target.podIP, port, timeoutMs);
  }
  if (action.grpc !== undefined) {
    return checkGrpcHealth(`${target.podIP}:${action.grpc.port}`, action.grpc.service ?? '', timeoutMs);
  }
  return { isHealthy: false, message: 'missing probe handler' };
}

/** A port given by number or by the name of a container port. */
export function portNumber(port: unknown, container: V1Container): number | undefined {
  if (typeof port === 'number') return port;
  const named = container.ports?.find((candidate) => candidate.name === port);
  return named?.containerPort ?? (/^\d+$/.test(String(port)) ? Number(port) : undefined);
}

function unknownPort(port: unknown): CheckResult {
  return { isHealthy: false, message: `couldn't find port: ${JSON.stringify(port)}` };
}

async function checkExec(
  command: readonly string[],
  container: ContainerProcess,
  timeoutMs: number,
): Promise<CheckResult> {
  if (!container.isRunning) return { isHealthy: false, message: 'container not running' };
  const session = startExec(container, command, { stdin: false, stdout: true, stderr: true, tty: false });
  const output: Buffer[] = [];
  let bytes = 0;
  for (const stream of [session.stdout, session.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      if (bytes < OUTPUT_BYTES_MAX) output.push(chunk);
      bytes += chunk.length;
    });
    stream?.on('error', () => {});
  }
  const timeout = Promise.withResolvers<'timeout'>();
  const timer = setTimeout(() => timeout.resolve('timeout'), timeoutMs);
  const code = await Promise.race([session.exit, timeout.promise]);
  clearTimeout(timer);
  if (code === 0) return HEALTHY;
  if (code === 'timeout') {
    session.kill();
    const message = `command timed out: ${JSON.stringify(command.join(' '))} timed out after ${timeoutMs / 1000}s`;
    return { isHealthy: false, message };
  }
  await new Promise(setImmediate); // what the command wrote last is read in the next turn
  return {
    isHealthy: false,
    message: Buffer.concat(output).toString().slice(0, OUTPUT_BYTES_MAX) || `exit code ${code}`,
  };
}

async function checkHttp(action: V1HTTPGetAction, target: CheckTarget, timeoutMs: number): Promise<CheckResult> {
  const port = portNumber(action.port, target.container);
  if (port === undefined) return unknownPort(action.port);
  const host = action.host === undefined || action.host === '' ? target.podIP : action.host;
  const isTls = action.scheme === 'HTTPS';
  const path = `/${(action.path ?? '/').replace(/^\/+/, '')}`;
  const headers: Record<string, string> = { 'user-agent': PROBE_AGENT, accept: '*/*', connection: 'close' };
  for (const header of action.httpHeaders ?? []) headers[header.name.toLowerCase()] = header.value;
  const url = `${isTls ? 'https' : 'http'}://${host}:${port}${path}`;
  const options = { host, port, path, headers, agent: false, signal: AbortSignal.timeout(timeoutMs) };
  const began = performance.now();
  try {
    const status = await httpStatus(options, isTls);
    if (status >= 200 && status < 400) return HEALTHY;
    return { isHealthy: false, message: `HTTP probe failed with statuscode: ${status}` };
  } catch (error) {
    const isTimeout = performance.now() - began >= timeoutMs - 1;
    const reason = isTimeout
      ? 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
      : dialFailure(`${host}:${port}`, error);
    return { isHealthy: false, message: `Get ${JSON.stringify(url)}: ${reason}` };
  }
}

/** The certificate is not looked at, as with a kubelet. */
function httpStatus(options: RequestOptions, isTls: boolean): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const onResponse = (response: IncomingMessage): void => {
    let bytes = 0;
    response.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > BODY_BYTES_MAX) response.destroy();
    });
    response.on('error', () => {});
    resolve(response.statusCode ?? 0);
  };
  const request = isTls
    ? httpsRequest({ ...options, rejectUnauthorized: false }, onResponse)
    : httpRequest(options, onResponse);
  request.on('error', reject);
  request.end();
  return promise;
}

async function checkTcp(host: string, port: number, timeoutMs: number): Promise<CheckResult> {
  const { promise, resolve } = Promise.withResolvers<CheckResult>();
  const socket = connect({ host, port });
  const timer = setTimeout(
    () => resolve({ isHealthy: false, message: `dial tcp ${host}:${port}: i/o timeout` }),
    timeoutMs,
  );
  socket.once('connect', () => resolve(HEALTHY));
  socket.on('error', (error) => resolve({ isHealthy: false, message: dialFailure(`${host}:${port}`, error) }));
  const result = await promise;
  clearTimeout(timer);
  socket.destroy();
  return result;
}

function dialFailure(address: string, error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ECONNREFUSED') return `dial tcp ${address}: connect: connection refused`;
  if (code === 'EHOSTUNREACH') return `dial tcp ${address}: connect: no route to host`;
  if (code === 'ECONNRESET') return `read tcp ${address}: read: connection reset by peer`;
  return error instanceof Error ? error.message : String(error);
}
