/** Source: RFC 9113 section 7. */
export const ErrorCode = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FLOW_CONTROL_ERROR: 3,
  SETTINGS_TIMEOUT: 4,
  STREAM_CLOSED: 5,
  FRAME_SIZE_ERROR: 6,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  COMPRESSION_ERROR: 9,
  ENHANCE_YOUR_CALM: 11,
} as const;

/** The peer breaks HTTP/2 in a way that ends the connection. */
export class Http2Error extends Error {
  override readonly name = 'Http2Error';
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

export function protocol(reason: string): Http2Error {
  return new Http2Error(ErrorCode.PROTOCOL_ERROR, reason);
}

/** For what is allowed once and abuse in numbers. */
export function calm(what: string): Http2Error {
  return new Http2Error(ErrorCode.ENHANCE_YOUR_CALM, `too many ${what}`);
}
