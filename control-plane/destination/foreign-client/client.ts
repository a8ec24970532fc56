import { Client, credentials, Metadata, status, type ClientReadableStream, type ServiceError } from '@grpc/grpc-js';
import { METHODS } from './messages.ts';
import { readMessage, writeMessage, type Message } from './wire.ts';

const WAIT_MS_MAX = 5000;

/** A proxy from elsewhere: it knows the published messages and nothing of ours. */
export class ForeignClient implements Disposable {
  readonly #client: Client;

  constructor(port: number, anchorsPem: string, serverName: string) {
    const options = { 'grpc.ssl_target_name_override': serverName };
    this.#client = new Client(`127.0.0.1:${port}`, credentials.createSsl(Buffer.from(anchorsPem)), options);
  }

  /** @returns the answer, or the name of the status code */
  async ask(method: keyof typeof METHODS, request: Message): Promise<Message | string> {
    const [path, requestType, answerType] = METHODS[method];
    const { promise, resolve } = Promise.withResolvers<Message | string>();
    this.#client.makeUnaryRequest<Message, Message>(
      path,
      (message) => Buffer.from(writeMessage(requestType, message)),
      (bytes) => readMessage(answerType, bytes),
      request,
      new Metadata(),
      { deadline: Date.now() + WAIT_MS_MAX },
      (error, answer) => resolve(error === null ? (answer ?? {}) : (status[error.code] ?? '')),
    );
    return promise;
  }

  open(method: keyof typeof METHODS, request: Message): ForeignStream {
    const [path, requestType, answerType] = METHODS[method];
    return new ForeignStream(
      this.#client.makeServerStreamRequest<Message, Message>(
        path,
        (message) => Buffer.from(writeMessage(requestType, message)),
        (bytes) => readMessage(answerType, bytes),
        request,
      ),
    );
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

/** What a stream says, message by message. */
export class ForeignStream {
  readonly #unread: Message[] = [];
  #end: string | undefined;
  #wake: () => void = () => {};

  constructor(call: ClientReadableStream<Message>) {
    call.on('data', (message: Message) => {
      this.#unread.push(message);
      this.#wake();
    });
    call.on('end', () => this.#finish('OK'));
    call.on('error', (error: ServiceError) => this.#finish(status[error.code] ?? error.message));
  }

  /** Messages that came and that nobody has read. */
  get unread(): readonly Message[] {
    return this.#unread;
  }

  /** The next message. @throws when the stream ends before, or none comes in time */
  async next(what: string): Promise<Message> {
    await this.#until(() => this.#unread.length > 0 || this.#end !== undefined, what);
    const message = this.#unread.shift();
    if (message === undefined) throw new Error(`${what}: the stream ended with ${this.#end}`);
    return message;
  }

  /** Reads on until a message is the one that is meant: states in between may come or be skipped. */
  async until(what: string, isMeant: (message: Message) => boolean): Promise<Message> {
    for (;;) {
      const message = await this.next(what);
      if (isMeant(message)) return message;
    }
  }

  /** Reads to the end, when nobody cares for what is between. @returns the last message and the name of the status code */
  async toEnd(): Promise<{ readonly last: Message | undefined; readonly end: string }> {
    await this.#until(() => this.#end !== undefined, 'the end of the stream');
    return { last: this.#unread.at(-1), end: this.#end ?? '' };
  }

  /** The name of the status code that the stream ends with; nothing may come before it. */
  async end(): Promise<string> {
    await this.#until(() => this.#end !== undefined || this.#unread.length > 0, 'the end of the stream');
    if (this.#unread.length > 0)
      throw new Error(`the stream goes on with ${String(Object.keys(this.#unread[0] ?? {}))}`);
    return this.#end ?? '';
  }

  #finish(end: string): void {
    this.#end ??= end;
    this.#wake();
  }

  async #until(isThere: () => boolean, what: string): Promise<void> {
    const deadline = Date.now() + WAIT_MS_MAX;
    while (!isThere()) {
      const leftMs = deadline - Date.now();
      if (leftMs <= 0) throw new Error(`${what}: nothing came within ${WAIT_MS_MAX} ms`);
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = setTimeout(resolve, leftMs);
      await promise;
      clearTimeout(timer);
    }
  }
}
