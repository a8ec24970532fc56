import { receivedFields, type RequestHead, type ResponseHead } from '../http/head.ts';

/** Names of the status codes of gRPC, by number. Source: grpc `doc/statuscodes.md`. */
const NAMES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const;

/** UNKNOWN, DEADLINE_EXCEEDED, PERMISSION_DENIED, INTERNAL, UNAVAILABLE, DATA_LOSS. Source: linkerd2-proxy. */
const FAILURES: ReadonlySet<number> = new Set([2, 4, 7, 13, 14, 15]);

/** @param lines  trailers: fields, each with its CRLF */
export function grpcStatus(lines: string): number | undefined {
  if (lines === '') return undefined;
  const value = /^grpc-status: *(\d{1,3})\r$/im.exec(lines)?.[1];
  return value === undefined ? undefined : Number(value);
}

/** @returns the status that a response has in its head, because nothing comes behind it */
export function grpcStatusOf(head: ResponseHead): number | undefined {
  const fields = receivedFields(head);
  if (fields === undefined) return grpcStatus(head.lines);
  const field = fields.find(({ name }) => name === 'grpc-status');
  return field === undefined ? undefined : grpcStatus(field.line);
}

export function isGrpcMessage(head: RequestHead | ResponseHead): boolean {
  const fields = receivedFields(head);
  const text = fields === undefined ? head.lines : fields.find(({ name }) => name === 'content-type')?.line;
  return text !== undefined && /^content-type: *application\/grpc/im.test(text);
}

/** The status of a gRPC call says that the server failed, not the caller. */
export function isGrpcFailure(status: number | undefined): boolean {
  return status !== undefined && FAILURES.has(status);
}

/** Codes that do not exist count as `UNKNOWN`, as clients treat them. */
export function grpcStatusName(status: number): string {
  return NAMES[status] ?? 'UNKNOWN';
}
