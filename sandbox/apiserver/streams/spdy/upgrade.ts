import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { badRequest } from '../../status-error.ts';

/** Whether the client wants SPDY itself, as kubectl did before 1.31, instead of a WebSocket. */
export function wantsSpdy(request: IncomingMessage): boolean {
  return request.headers.upgrade?.toLowerCase() === 'spdy/3.1';
}

/** Switches the connection to SPDY. Throws 400 when the client does not speak `protocol`. */
export function acceptSpdy(request: IncomingMessage, socket: Duplex, head: Buffer, protocol: string): void {
  const header = request.headers['x-stream-protocol-version'];
  const offered = (Array.isArray(header) ? header.join(',') : (header ?? '')).split(',').map((name) => name.trim());
  if (!offered.includes(protocol)) throw badRequest(`none of the stream protocols is served: use ${protocol}`);
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n' +
      `X-Stream-Protocol-Version: ${protocol}\r\n\r\n`,
  );
  if (head.length > 0) socket.unshift(head);
}
