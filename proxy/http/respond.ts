import type { ProxyError } from '../errors.ts';
import type { ResponseHead } from './head.ts';
import { reasonOf } from './reasons.ts';

/**
 * The response that says why the proxy itself failed a request: status, `l5d-proxy-error: <code>: <reason>`, no body.
 * Nothing else in the proxy decides what an application sees of an error.
 */
export function errorResponse(error: ProxyError, isClosing: boolean): string {
  const { status } = error;
  return (
    `HTTP/1.1 ${status} ${reasonOf(status)}\r\n` +
    `l5d-proxy-error: ${error.code}: ${fieldText(error.message)}\r\n` +
    `content-length: 0\r\n${isClosing ? 'connection: close\r\n' : ''}\r\n`
  );
}

/** Statuses of gRPC, where UNAVAILABLE (14) does not say it. */
const GRPC_STATUS: Readonly<Record<number, number>> = { 400: 13, 403: 7, 404: 12, 429: 8, 431: 8, 501: 12 };

/**
 * The same for a connection that has heads of its own.
 *
 * @param isGrpc  the client reads `grpc-status` and not the status of HTTP
 */
export function errorHead(error: ProxyError, isGrpc: boolean): ResponseHead {
  const { status } = error;
  const reason = fieldText(error.message);
  const lines = isGrpc
    ? 'HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\n' +
      `grpc-status: ${GRPC_STATUS[status] ?? 14}\r\ngrpc-message: ${reason.replaceAll('%', '%25')}\r\n`
    : `HTTP/1.1 ${status} ${reasonOf(status)}\r\ncontent-length: 0\r\n`;
  return {
    status: isGrpc ? 200 : status,
    lines,
    body: 'none',
    bodyBytes: 0,
    isPersistent: true,
    upgrade: undefined,
    keepAliveMs: undefined,
    proxyError: `${error.code}: ${reason}`,
  };
}

/** What a route answers itself. @param fields  each with its CRLF */
function ownHead(status: number, fields: string, proxyError?: string): ResponseHead {
  return {
    status,
    lines: `HTTP/1.1 ${status} ${reasonOf(status)}\r\n${fields}content-length: 0\r\n`,
    body: 'none',
    bodyBytes: 0,
    isPersistent: true,
    upgrade: undefined,
    keepAliveMs: undefined,
    proxyError,
  };
}

export function redirectHead(status: number, location: string): ResponseHead {
  return ownHead(status, `location: ${location}\r\n`);
}

/** A failure that a filter makes. */
export function injectedHead(status: number, message: string): ResponseHead {
  return ownHead(status, '', `injected: ${fieldText(message)}`);
}

/** The same of a gRPC call. @param code  of gRPC */
export function injectedGrpcHead(code: number, message: string): ResponseHead {
  const reason = fieldText(message);
  const fields = `content-type: application/grpc\r\ngrpc-status: ${code}\r\n`;
  return ownHead(200, `${fields}grpc-message: ${reason.replaceAll('%', '%25')}\r\n`, `injected: ${reason}`);
}

/** Text that may stand in a header field. */
function fieldText(text: string): string {
  return text.replace(/[^\t\x20-\x7e]+/g, ' ').slice(0, 512);
}
