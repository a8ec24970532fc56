import { Flag, Frame, PREFACE } from '../http2/frames.ts';
import { HpackDecoder } from '../http2/hpack-decoder.ts';
import { RawServer } from '../testing/raw-server.ts';
import { block, frame, SETTINGS } from '../testing/raw-http2.ts';
import type { Http2ResponseVector } from './http2-response-vectors.ts';
import { MARK, type ResponseVector } from './response-vectors.ts';

/** Answers the vector of the moment to every request of HTTP/1 but one for the mark. Requests have no body. */
export function hostileHttp1(current: () => ResponseVector | undefined): Promise<RawServer> {
  return RawServer.start((socket) => {
    let unread = '';
    socket.on('data', (chunk: Buffer) => {
      unread += chunk.toString('latin1');
      for (let end = unread.indexOf('\r\n\r\n'); end >= 0; end = unread.indexOf('\r\n\r\n')) {
        const [method, path] = unread.split(' ', 2);
        unread = unread.slice(end + 4);
        const vector = current();
        if (path === '/mark') {
          socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${MARK.length}\r\n\r\n${method === 'HEAD' ? '' : MARK}`);
        } else if (vector !== undefined) {
          socket.write(Buffer.from(vector.bytes, 'latin1'));
          if (vector.isClosing === true) socket.end();
        }
      }
    });
    socket.on('end', () => socket.end());
  });
}

/** The same of HTTP/2. */
export function hostileHttp2(current: () => Http2ResponseVector | undefined): Promise<RawServer> {
  return RawServer.start((socket) => {
    socket.setNoDelay(true);
    const decoder = new HpackDecoder();
    let unread = Buffer.alloc(0);
    let hasPreface = false;
    const answer = (id: number, method: string | undefined, path: string | undefined): void => {
      const vector = current();
      if (path === '/mark') {
        const isHead = method === 'HEAD';
        const end = isHead ? Flag.END_STREAM : 0;
        socket.write(frame(Frame.HEADERS, Flag.END_HEADERS | end, id, block([[':status', '200']])));
        if (!isHead) socket.write(frame(Frame.DATA, Flag.END_STREAM, id, Buffer.from(MARK)));
      } else if (vector !== undefined) {
        socket.write(Buffer.concat(vector.frames(id)));
        if (vector.isClosing === true) socket.end();
      }
    };
    socket.write(SETTINGS);
    socket.on('data', (chunk: Buffer) => {
      unread = Buffer.concat([unread, chunk]);
      if (!hasPreface && unread.length >= PREFACE.length) {
        hasPreface = true;
        unread = unread.subarray(PREFACE.length);
      }
      if (!hasPreface) return;
      while (unread.length >= 9 && unread.length >= 9 + unread.readUIntBE(0, 3)) {
        const end = 9 + unread.readUIntBE(0, 3);
        const [type, flags = 0, id] = [unread[3], unread[4], unread.readUInt32BE(5)];
        if (type === Frame.SETTINGS && (flags & Flag.ACK) === 0) socket.write(frame(Frame.SETTINGS, Flag.ACK, 0));
        if (type === Frame.HEADERS) {
          const fields = decoder.decode(unread, 9, end);
          const value = (of: string): string | undefined => fields.find(({ name }) => name === of)?.value;
          answer(id, value(':method'), value(':path'));
        }
        unread = unread.subarray(end);
      }
    });
    socket.on('end', () => socket.end());
  });
}
