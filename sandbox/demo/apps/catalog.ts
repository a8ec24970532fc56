// The shop's catalog: items from the store, and bodies of every framing and size for those who look at bytes.
import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import { sendJson, serveHttp } from './serve.ts';
import { StoreClient } from './store-client.ts';

const PORT = 8080;
const MAX_FILE_BYTES = 1024 ** 3;
const CHUNK_BYTES = 64 * 1024;
const store = new StoreClient('store', 7000);

/** Bytes that differ at every position and are the same at every call. */
function* pattern(length: number): Generator<Buffer> {
  for (let offset = 0; offset < length; offset += CHUNK_BYTES) {
    const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, length - offset));
    for (let index = 0; index < chunk.length; index += 1)
      chunk[index] = ((offset + index) * 31 + ((offset + index) >> 8)) & 0xff;
    yield chunk;
  }
}

serveHttp(PORT, {
  'GET /items': async ({ headers }, response) => {
    const values = await Promise.all(['item:1', 'item:2', 'item:3'].map((key) => store.ask(`GET ${key}`)));
    const items = values.map((line) => line.replace('VALUE ', ''));
    // Who asks, as the mesh has made sure, and on whose behalf when that is the gateway of another cluster.
    sendJson(response, 200, {
      from: hostname(),
      items,
      client: headers['l5d-client-id'],
      forwarded: headers['forwarded'],
    });
  },
  'GET /files': async (_request, response, url) => {
    const length = Math.min(MAX_FILE_BYTES, Number(url.pathname.split('/')[2] ?? 0));
    if (!Number.isInteger(length) || length < 0) {
      sendJson(response, 400, { error: 'use /files/<number of bytes>' });
      return;
    }
    const isChunked = url.searchParams.has('chunked');
    response.writeHead(200, {
      'content-type': 'application/octet-stream',
      ...(isChunked ? {} : { 'content-length': length }),
    });
    await pipeline(Readable.from(pattern(length)), response);
  },
  'HEAD /files': (_request, response, url) => {
    response.writeHead(200, { 'content-length': Number(url.pathname.split('/')[2] ?? 0) });
    response.end();
  },
  'POST /files': async (request, response) => {
    const hash = createHash('sha256');
    let length = 0;
    for await (const chunk of request) {
      hash.update(chunk as Buffer);
      length += (chunk as Buffer).length;
    }
    sendJson(response, 200, { length, sha256: hash.digest('hex') });
  },
  '* /status': (request, response, url) => {
    request.resume();
    const status = Number(url.pathname.split('/')[2] ?? 200);
    response.writeHead(status, {
      etag: '"shop"',
      ...(status === 204 || status === 304 ? {} : { 'content-length': 3 }),
    });
    response.end(status === 204 || status === 304 || request.method === 'HEAD' ? undefined : 'ok\n');
  },
});
