/** How much of a request body is kept for another attempt. Source: linkerd2-proxy, 64 KiB. */
const REPLAY_BYTES_MAX = 64 * 1024;

const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

/** RFC 9110 section 9.2.2: doing it twice has the effect of doing it once. */
export function isIdempotent(method: string): boolean {
  return IDEMPOTENT.has(method);
}

/** What has arrived of a request body, as long as it is short enough to be sent again. */
export class ReplayBody {
  #chunks: Buffer[] | undefined; // of those that have a body, which most have not
  #bytes = 0;
  #isWhole = true;
  isEnded: boolean;

  /** @param body  what came with the head, not sent yet */
  constructor(body: Buffer | undefined, isEnd: boolean) {
    this.isEnded = isEnd;
    this.hold(body, isEnd);
  }

  /** Everything that has arrived is still here. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** As one piece: usually there is just one, or none. */
  get content(): Buffer | undefined {
    const chunks = this.#chunks;
    return chunks === undefined || chunks.length <= 1 ? chunks?.[0] : Buffer.concat(chunks);
  }

  /** For bytes that are not sent yet: they are kept whatever their number, so the caller must stop its source. */
  hold(body: Buffer | undefined, isEnd: boolean): void {
    if (body !== undefined && body.length > 0) {
      (this.#chunks ??= []).push(Buffer.from(body));
      this.#bytes += body.length;
    }
    this.isEnded = isEnd;
  }

  /** For bytes that are being sent: forgotten, with all others, when there are too many. */
  add(body: Buffer): void {
    if (!this.#isWhole || body.length === 0) return;
    this.#bytes += body.length;
    if (this.#bytes > REPLAY_BYTES_MAX) this.drop();
    else (this.#chunks ??= []).push(Buffer.from(body));
  }

  /** After what was held has been sent. */
  trim(): void {
    if (this.#bytes > REPLAY_BYTES_MAX) this.drop();
  }

  /** No other attempt will be made. */
  drop(): void {
    this.#isWhole = false;
    this.#chunks = undefined;
    this.#bytes = 0;
  }
}
