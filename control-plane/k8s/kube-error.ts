/** An answer of the API server that is not a success, or none at all. */
export class KubeError extends Error {
  override readonly name = 'KubeError';
  /** HTTP status, absent when there was no answer. */
  readonly status?: number;
  /** The `reason` of the Status object, as `AlreadyExists`; `Unreachable` without an answer. */
  readonly reason: string;
  /** How long the server wants to be left alone (Retry-After). */
  readonly retryAfterMs?: number;

  constructor(
    message: string,
    details: {
      readonly status?: number;
      readonly reason: string;
      readonly retryAfterMs?: number;
      readonly cause?: unknown;
    },
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    if (details.status !== undefined) this.status = details.status;
    this.reason = details.reason;
    if (details.retryAfterMs !== undefined) this.retryAfterMs = details.retryAfterMs;
  }

  get isNotFound(): boolean {
    return this.status === 404;
  }

  /** The object exists already, or has changed since it was read. */
  get isConflict(): boolean {
    return this.status === 409;
  }

  /** The resource version asked for is no longer known: list again. */
  get isExpired(): boolean {
    return this.status === 410;
  }
}
