import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { StatusError } from '../status-error.ts';

/** Answers a request for an upgrade with an ordinary HTTP response that carries the Status, and ends the connection. */
export function refuseUpgrade(socket: Duplex, error: StatusError): void {
  socket.once('error', () => socket.destroy()); // the client may be gone already
  if (socket.destroyed || !socket.writable) {
    socket.destroy();
    return;
  }
  const body = JSON.stringify(error.toStatus());
  socket.end(
    `HTTP/1.1 ${error.code} ${STATUS_CODES[error.code] ?? 'Error'}\r\n` +
      'Content-Type: application/json\r\n' +
      `Content-Length: ${Buffer.byteLength(body)}\r\n` +
      `Connection: close\r\n\r\n${body}`,
  );
}
