import { TIMER_MS_MAX } from '#runtime/clock.ts';
import type { Connection, ConnectionHandler } from '../transport/connection.ts';

/** How the wait for the first bytes of a connection ended. */
export type FirstBytes =
  | { readonly kind: 'bytes'; readonly bytes: Buffer } // they decide
  | { readonly kind: 'silent'; readonly bytes: Buffer } // undecided within the time; the bytes so far
  | { readonly kind: 'ended'; readonly bytes: Buffer } // the client finished sending before it was clear
  | { readonly kind: 'closed' };

/** How a connection opened when both sides may speak first. */
export type Opening =
  | { readonly kind: 'client'; readonly bytes: Buffer } // the client's bytes decide; no server is open
  | {
      readonly kind: 'tunnel'; // the server spoke first, or nobody made it clear in time
      readonly bytes: Buffer; // of the client
      readonly server: OpenServer | undefined;
    }
  | { readonly kind: 'closed' };

/** A server side that was opened before the client spoke, with what it has said so far. */
export type OpenServer = { readonly connection: Connection; readonly bytes: Buffer };

/** Whether a client's bytes decide what it speaks. Called with all of them; it must bound their number. */
export type Decides = (bytes: Buffer) => boolean;

/** How long a client may still speak after the server side could not be opened. */
const GIVE_UP_MS = 1000;

/** Between two protocols a connection is paused: nothing arrives but its close, which `isClosed` keeps. */
const BETWEEN: ConnectionHandler = { onData() {}, onEnd() {}, onDrain() {}, onClose() {} };

/**
 * Reads from a connection until the bytes decide, at most for `timeoutMs`. The connection is paused afterwards and the
 * bytes belong to the caller.
 *
 * @param early  bytes that were read before
 */
export function readFirstBytes(
  connection: Connection,
  early: Buffer,
  decides: Decides,
  timeoutMs: number,
): Promise<FirstBytes> {
  if (connection.isClosed) return Promise.resolve({ kind: 'closed' });
  if (early.length > 0 && decides(early)) return Promise.resolve({ kind: 'bytes', bytes: early });
  if (connection.isReadEnded) return Promise.resolve({ kind: 'ended', bytes: early });
  return new Promise((resolve) => {
    let bytes = early;
    const done = (result: FirstBytes): void => {
      clearTimeout(timer);
      connection.pause();
      connection.handler = BETWEEN;
      resolve(result);
    };
    const timer = setTimeout(() => done({ kind: 'silent', bytes }), Math.min(timeoutMs, TIMER_MS_MAX));
    connection.start({
      onData(more) {
        bytes = bytes.length === 0 ? more : Buffer.concat([bytes, more]);
        if (decides(bytes)) done({ kind: 'bytes', bytes });
      },
      onEnd: () => done({ kind: 'ended', bytes }),
      onDrain() {},
      onClose: () => done({ kind: 'closed' }),
    });
  });
}

export type OpeningOptions = {
  readonly decides: Decides;
  /** How long a client is silent after undecided bytes until they are taken for all it says before it is answered. */
  readonly pauseMs: (undecided: Buffer) => number;
  readonly silenceMs: number; // after so much silence the server side is opened too
  readonly timeoutMs: number; // after so much in all, whatever there is goes through as bytes
  /** Opens the server side; undefined when that must not or cannot be done before the client has spoken. */
  readonly openServer: () => Promise<Connection | undefined>;
};

/**
 * Waits for what the client has to say, and for the server when the client says nothing: protocols in which the server
 * speaks first (SMTP, MySQL) so lose a moment and no more. Neither do those whose client says a word that may still
 * become a request and waits for the answer: after a pause it goes on as it is.
 */
export async function awaitOpening(client: Connection, early: Buffer, options: OpeningOptions): Promise<Opening> {
  const first = await readFirstBytes(client, early, options.decides, options.silenceMs);
  if (first.kind === 'closed') return first;
  if (first.kind === 'bytes') return { kind: 'client', bytes: first.bytes };
  if (first.kind === 'ended') return { kind: 'tunnel', bytes: first.bytes, server: undefined };
  const leftMs = Math.max(0, options.timeoutMs - options.silenceMs);
  const race = new Race(client, first.bytes, options, leftMs);
  options.openServer().then(
    (server) => race.join(server),
    () => race.giveUpSoon(),
  );
  return race.result;
}

class Race {
  readonly result: Promise<Opening>;
  #resolve: (opening: Opening) => void = () => {};
  #isOver = false;
  #bytes: Buffer;
  #server: Connection | undefined;
  #serverBytes: Buffer = Buffer.alloc(0);
  #isServerPending = true;
  #isPaused = false; // the client has said what it says before it is answered
  readonly #client: Connection;
  readonly #pauseMs: (undecided: Buffer) => number;
  #timer: NodeJS.Timeout;
  #pauseTimer: NodeJS.Timeout | undefined;
  #pauseCheck: NodeJS.Immediate | undefined;

  constructor(
    client: Connection,
    bytes: Buffer,
    { decides, pauseMs }: Pick<OpeningOptions, 'decides' | 'pauseMs'>,
    timeoutMs: number,
  ) {
    this.#client = client;
    this.#bytes = bytes;
    this.#pauseMs = pauseMs;
    this.result = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.#timer = setTimeout(() => this.#tunnel(), Math.min(timeoutMs, TIMER_MS_MAX));
    client.start({
      onData: (more) => {
        this.#bytes = Buffer.concat([this.#bytes, more]);
        if (decides(this.#bytes)) this.#over({ kind: 'client', bytes: this.#bytes });
        else this.#awaitPause();
      },
      onEnd: () => this.#tunnel(),
      onDrain() {},
      onClose: () => this.#over({ kind: 'closed' }),
    });
    if (bytes.length > 0) this.#awaitPause();
  }

  /** The server side is open (or will not be). */
  join(server: Connection | undefined): void {
    this.#isServerPending = false;
    if (this.#isOver) {
      server?.destroy();
      return;
    }
    this.#server = server;
    server?.start({
      onData: (bytes) => {
        this.#serverBytes = bytes;
        this.#tunnel();
      },
      onEnd: () => this.#tunnel(),
      onDrain() {},
      onClose: () => this.#tunnel(),
    });
    if (this.#isPaused) this.#tunnel();
  }

  /** The server side cannot be opened: a client that waits for it to speak must learn that. */
  giveUpSoon(): void {
    this.#isServerPending = false;
    if (this.#isOver) return;
    if (this.#isPaused) {
      this.#tunnel();
      return;
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tunnel(), GIVE_UP_MS);
  }

  #awaitPause(): void {
    this.#stopPause();
    const ms = this.#pauseMs(this.#bytes);
    if (!Number.isFinite(ms)) return;
    this.#pauseTimer = setTimeout(() => {
      // What a busy process has not read yet is no silence: everything that is there is read before an immediate.
      this.#pauseCheck = setImmediate(() => {
        this.#isPaused = true;
        if (!this.#isServerPending) this.#tunnel();
      });
    }, ms);
  }

  #stopPause(): void {
    this.#isPaused = false;
    clearTimeout(this.#pauseTimer);
    clearImmediate(this.#pauseCheck);
  }

  #tunnel(): void {
    const connection = this.#server;
    const server = connection === undefined ? undefined : { connection, bytes: this.#serverBytes };
    this.#over({ kind: 'tunnel', bytes: this.#bytes, server });
  }

  #over(opening: Opening): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#stopPause();
    this.#client.pause();
    this.#client.handler = BETWEEN;
    this.#server?.pause();
    if (this.#server !== undefined) this.#server.handler = BETWEEN;
    if (opening.kind !== 'tunnel') this.#server?.destroy();
    this.#resolve(opening);
  }
}
