import assert from 'node:assert/strict';
import { Flag, Frame } from '../http2/frames.ts';
import { exchange } from '../testing/mesh.ts';
import { block, frame, type RawHttp2, SETTINGS, type Fields } from '../testing/raw-http2.ts';
import type { Answer } from './response-vectors.ts';

/** What a client has seen in place of a response. `isWhole`: its framing says that nothing is missing. */
export type Seen = Answer & { readonly proxyError: string | undefined; readonly isWhole: boolean };

/**
 * Reads what a client of HTTP/1 got, as strictly as a client can: whatever follows a response is another one.
 *
 * @throws Error  where it is none
 */
function readResponses(bytes: string, method: string): readonly Seen[] {
  const seen: Seen[] = [];
  let rest = bytes;
  while (rest !== '') {
    const head = /^HTTP\/1\.[01] (\d{3})(?: [ -~]*)?\r\n((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~]*\r\n)*)\r\n/.exec(
      rest,
    );
    assert.ok(head, `no response: ${JSON.stringify(rest.slice(0, 300))}`);
    rest = rest.slice(head[0].length);
    const [, status = '', fields = ''] = head;
    if (status.startsWith('1')) continue;
    const field = (name: string): string | undefined => new RegExp(`^${name}: *(.*)\r$`, 'im').exec(fields)?.[1];
    const proxyError = field('l5d-proxy-error');
    const add = (body: string, isWhole: boolean): void =>
      void seen.push({ status: Number(status), body, proxyError, isWhole });
    const length = field('content-length');
    assert.equal(fields.match(/^content-length:/gim)?.length ?? 0, length === undefined ? 0 : 1);
    if (method === 'HEAD' || status === '204' || status === '304') add('', true);
    else if (field('transfer-encoding') !== undefined) {
      assert.deepEqual([field('transfer-encoding')?.toLowerCase(), length], ['chunked', undefined]);
      const read = readChunks(rest);
      rest = read.rest;
      add(read.body, read.isWhole);
    } else {
      const bytesOfBody = length === undefined ? rest.length : Number(length);
      add(rest.slice(0, bytesOfBody), rest.length >= bytesOfBody);
      rest = rest.slice(bytesOfBody);
    }
  }
  return seen;
}

function readChunks(bytes: string): { readonly body: string; readonly rest: string; readonly isWhole: boolean } {
  let rest = bytes;
  let body = '';
  for (;;) {
    const line = /^([0-9a-f]{1,9})(?:;[^\r\n]*)?\r\n/i.exec(rest);
    if (line === null) break;
    rest = rest.slice(line[0].length);
    const size = Number.parseInt(line[1] ?? '', 16);
    if (size === 0) {
      const trailers = /^(?:[^\r\n:]+:[^\r\n]*\r\n)*\r\n/.exec(rest);
      if (trailers === null) break;
      return { body, rest: rest.slice(trailers[0].length), isWhole: true };
    }
    body += rest.slice(0, size);
    if (!rest.startsWith('\r\n', size)) {
      assert.ok(rest.length < size + 2, 'a chunk that does not end where it should');
      break;
    }
    rest = rest.slice(size + 2);
  }
  return { body, rest: '', isWhole: false };
}

/** A client of HTTP/1 that asks for the path and then, on the same connection, for the mark. */
export async function askHttp1(port: number, method: string, path: string): Promise<readonly Seen[]> {
  const first = `${method} ${path} HTTP/1.1\r\nhost: web\r\n`;
  const second = `\r\n${method} /mark HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n`;
  const bytes = path === '/mark' ? `${first}connection: close\r\n\r\n` : `${first}${second}`;
  return readResponses((await exchange(port, bytes).catch(() => Buffer.alloc(0))).toString('latin1'), method);
}

/** The same over HTTP/2, on two streams, the second behind the first. */
export async function askHttp2(
  open: () => Promise<RawHttp2>,
  more: Fields,
  method: string,
  path: string,
): Promise<readonly Seen[]> {
  using client = await open();
  client.socket.setNoDelay(true);
  client.send(SETTINGS);
  const seen: Seen[] = [];
  for (const [id, one] of [path, '/mark'].entries()) {
    const stream = 2 * id + 1;
    const fields: Fields = [[':method', method], [':scheme', 'http'], [':authority', 'web'], [':path', one], ...more];
    client.send(frame(Frame.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, stream, block(fields)));
    await client.until(() => client.hasEnded(stream));
    const frames = client.frames.filter(({ id: of }) => of === stream);
    const lines = client.fields(stream);
    const statuses = [...lines.matchAll(/^:status: (.*)\r$/gm)].map(([, status]) => Number(status));
    seen.push({
      status: statuses.find((status) => status >= 200) ?? 0,
      body: client.content(stream),
      proxyError: /^l5d-proxy-error: (.*)\r$/m.exec(lines)?.[1],
      isWhole: !frames.some(({ type, payload }) => type === Frame.RST_STREAM && payload.readUInt32BE(0) !== 0),
    });
  }
  return seen;
}
