import type { ProxyError } from '../errors.ts';

const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
  508: 'Loop Detected',
};

/**
 * The response that says why the proxy itself failed a request: status, `l5d-proxy-error: <code>: <reason>`, no body.
 * Nothing else in the proxy decides what an application sees of an error.
 */
export function errorResponse(error: ProxyError, isClosing: boolean): string {
  const { status } = error;
  return (
    `HTTP/1.1 ${status} ${REASONS[status] ?? 'Error'}\r\n` +
    `l5d-proxy-error: ${error.code}: ${fieldText(error.message)}\r\n` +
    `content-length: 0\r\n${isClosing ? 'connection: close\r\n' : ''}\r\n`
  );
}

/** Text that may stand in a header field. */
function fieldText(text: string): string {
  return text.replace(/[^\t\x20-\x7e]+/g, ' ').slice(0, 512);
}
