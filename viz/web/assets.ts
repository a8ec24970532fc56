import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import type { FastifyInstance } from 'fastify';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Everything comes from here, nothing is inline, nobody may frame it. */
const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
};

/**
 * The files of the dashboard, read once: `/` and `/dashboard/<file>`.
 *
 * @param folder  with `index.html`
 * @throws when it cannot be read
 */
export function registerDashboard(server: FastifyInstance, folder: string): void {
  server.addHook('onSend', async (_request, reply) => void reply.headers(SECURITY_HEADERS));
  for (const file of readdirSync(folder).sort()) {
    const type = TYPES[extname(file)];
    if (type === undefined) continue;
    const body = readFileSync(join(folder, file));
    const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
    server.get(file === 'index.html' ? '/' : `/dashboard/${file}`, (request, reply) => {
      reply.headers({ 'cache-control': 'no-cache', etag });
      return request.headers['if-none-match'] === etag ? reply.code(304).send() : reply.type(type).send(body);
    });
  }
}
