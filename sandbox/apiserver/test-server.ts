import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { accessSync, constants } from 'node:fs';
import { parse } from 'yaml';
import { createLogger } from '#runtime/log.ts';
import { isJsonObject, type JsonObject } from './object.ts';
import { startApiServer, type ApiServer, type ApiServerOptions } from './server.ts';

export type Reply = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  readonly json: JsonObject; // {} when the body is no JSON object
};

export type RequestSpec = {
  readonly method?: string;
  readonly body?: unknown; // a string or Buffer goes as it is, anything else as JSON
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly as?: 'admin' | 'nobody';
};

export type KubectlResult = { readonly code: number; readonly stdout: string; readonly stderr: string };

/** A whole API server on an ephemeral port for one test, and ways to talk to it. */
export class TestServer implements AsyncDisposable {
  readonly server: ApiServer;
  readonly url: string;
  readonly port: number;
  readonly directory: string;
  readonly kubeconfigPath: string;
  readonly #identity: { cert: string; key: string };

  private constructor(server: ApiServer, port: number) {
    this.server = server;
    this.port = port;
    this.url = `https://127.0.0.1:${port}`;
    this.directory = mkdtempSync(join(tmpdir(), 'tulle-apiserver-test-'));
    this.kubeconfigPath = join(this.directory, 'kubeconfig');
    server.writeKubeconfig(this.kubeconfigPath, this.url);
    this.#identity = identityIn(server.kubeconfig(this.url));
  }

  static async start(options: ApiServerOptions = {}): Promise<TestServer> {
    const server = await startApiServer({ log: createLogger('apiserver', 'silent'), ...options });
    const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
    return new TestServer(server, port);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Options for node:https that trust the server and identify the caller. */
  tls(as: RequestSpec['as'] = 'admin'): RequestOptions {
    return { ca: this.server.caCertificate, agent: false, ...(as === 'admin' ? this.#identity : {}) };
  }

  async request(path: string, spec: RequestSpec = {}): Promise<Reply> {
    const { method = spec.body === undefined ? 'GET' : 'POST', body } = spec;
    const sent = typeof body === 'string' || Buffer.isBuffer(body) || body === undefined ? body : JSON.stringify(body);
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    const headers: Record<string, string> = { ...spec.headers };
    if (sent !== undefined) {
      headers['content-length'] = String(Buffer.byteLength(sent));
      headers['content-type'] = spec.contentType ?? 'application/json';
    }
    const target = { host: '127.0.0.1', port: this.port, path, method, headers };
    const request = httpsRequest({ ...this.tls(spec.as), ...target }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json: parseJson(text) });
      });
    });
    request.on('error', reject);
    request.end(sent);
    return promise;
  }

  /** Runs real kubectl with the admin's kubeconfig. `input` goes to its standard input. */
  async kubectl(args: readonly string[], input?: string): Promise<KubectlResult> {
    const home = this.directory; // keeps discovery caches of servers apart
    // oxlint-disable-next-line node/no-process-env -- only tests load this file, and kubectl needs the PATH
    const env = { ...process.env, HOME: home, KUBECONFIG: this.kubeconfigPath };
    const child = spawn('kubectl', args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    const output = { stdout: '', stderr: '' };
    child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString('utf8')));
    child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString('utf8')));
    child.stdin.end(input ?? '');
    const code = await new Promise<number>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (status) => resolve(status ?? -1));
    });
    return { code, ...output };
  }
}

function identityIn(kubeconfig: string): { cert: string; key: string } {
  const { users } = parse(kubeconfig) as { users: { user: Record<string, string> }[] };
  const user = users[0]?.user ?? {};
  const decoded = (field: string): string => Buffer.from(user[field] ?? '', 'base64').toString('utf8');
  return { cert: decoded('client-certificate-data'), key: decoded('client-key-data') };
}

function parseJson(text: string): JsonObject {
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value : {};
  } catch {
    return {};
  }
}

/** The field at the end of a path of keys and indexes, undefined when it is not there. */
export function at(value: unknown, ...path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>((inner, key) => {
    if (Array.isArray(inner)) return inner[Number(key)];
    return isJsonObject(inner) ? inner[key] : undefined;
  }, value);
}

/** Polls until `condition` holds. @throws Error naming `what` after the deadline */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  deadlineMs = 5000,
): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited ${deadlineMs} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A reason to skip what needs kubectl, false when it is there. */
export function withoutKubectl(): string | false {
  // oxlint-disable-next-line node/no-process-env -- only tests load this file
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    try {
      accessSync(join(directory, 'kubectl'), constants.X_OK);
      return false;
    } catch {
      // not in this directory
    }
  }
  return 'SKIPPED LOUDLY: kubectl is not on PATH, nothing was checked against the real client';
}
