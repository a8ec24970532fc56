import { request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import type { Webhook, WebhookTarget } from './webhook-configuration.ts';

/** Where the pods behind a Service can be reached now. Throws when there is no such Service. */
export type ResolveService = (namespace: string, name: string, port: number) => { address: string; port: number };

const RESPONSE_BYTES_MAX = 3 * 1024 * 1024;

/** Where to connect, and under which name the other side must identify itself. */
type Destination = { url: URL; connect: { host: string; port: number } };

/**
 * Posts one review to a webhook over TLS, verified by its caBundle. Redirects are not followed.
 *
 * @returns the answer as JSON
 * @throws Error worded like client-go: `Post "https://...": ...`
 */
export async function callWebhook(webhook: Webhook, review: unknown, resolve: ResolveService): Promise<unknown> {
  const url = urlOf(webhook.target);
  url.searchParams.set('timeout', `${webhook.timeoutMs / 1000}s`);
  try {
    const destination = { url, connect: connectTo(webhook.target, url, resolve) };
    return JSON.parse(await post(webhook, destination, JSON.stringify(review)));
  } catch (error) {
    throw new Error(`Post ${JSON.stringify(shownUrl(url))}: ${reasonOf(error)}`, { cause: error });
  }
}

function urlOf(target: WebhookTarget): URL {
  if (target.kind === 'url') return new URL(target.url);
  return new URL(`https://${target.name}.${target.namespace}.svc:${target.port}${target.path}`);
}

/** With the port always in it, as client-go prints it. */
function shownUrl(url: URL): string {
  return url.port === '' ? url.href.replace(url.host, `${url.host}:443`) : url.href;
}

function connectTo(target: WebhookTarget, url: URL, resolve: ResolveService): { host: string; port: number } {
  if (target.kind === 'url') return { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port || 443) };
  const { address, port } = resolve(target.namespace, target.name, target.port);
  return { host: address, port };
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.name === 'TimeoutError' || error.name === 'AbortError' ? 'context deadline exceeded' : error.message;
}

async function post(webhook: Webhook, { url, connect }: Destination, body: string): Promise<string> {
  if (url.protocol !== 'https:') throw new Error(`unsupported protocol scheme ${JSON.stringify(url.protocol)}`);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const request = httpsRequest({
    host: connect.host,
    port: connect.port,
    method: 'POST',
    path: url.pathname + url.search,
    agent: false, // one connection per call: the pods behind a Service come and go
    ...(webhook.caBundle === '' ? {} : { ca: webhook.caBundle }),
    ...(isIP(url.hostname) === 0 ? { servername: url.hostname } : {}),
    signal: AbortSignal.timeout(webhook.timeoutMs),
    headers: {
      host: url.host === url.hostname ? `${url.hostname}:443` : url.host,
      'content-type': 'application/json',
      accept: 'application/json, */*',
      'user-agent': 'kube-apiserver-admission',
      'content-length': Buffer.byteLength(body),
    },
  });
  request.on('error', reject);
  request.on('response', (response) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    response.on('error', reject);
    response.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      chunks.push(chunk);
      if (bytes > RESPONSE_BYTES_MAX)
        request.destroy(new Error(`the response is longer than ${RESPONSE_BYTES_MAX} bytes`));
    });
    response.on('end', () => {
      const text = Buffer.concat(chunks).toString('utf8');
      if (response.statusCode === 200) resolve(text);
      else reject(new Error(`unexpected status code ${response.statusCode}: ${text.slice(0, 256)}`));
    });
  });
  request.end(body);
  return promise;
}
