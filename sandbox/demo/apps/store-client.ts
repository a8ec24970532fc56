import { connect, type Socket } from 'node:net';

/** One connection to the store that is kept open and opened again when it breaks. Requests are answered in order. */
export class StoreClient {
  readonly #host: string;
  readonly #port: number;
  #socket: Socket | undefined;
  #pending = '';
  readonly #waiting: { resolve: (line: string) => void; reject: (error: Error) => void }[] = [];

  constructor(host: string, port: number) {
    this.#host = host;
    this.#port = port;
  }

  /** @throws Error  when the connection breaks before the answer */
  async ask(line: string): Promise<string> {
    const socket = this.#socket ?? this.#open();
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      socket.write(`${line}\n`);
    });
  }

  #open(): Socket {
    const socket = connect({ port: this.#port, host: this.#host, noDelay: true });
    this.#socket = socket;
    this.#pending = '';
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      this.#pending += chunk;
      for (let end = this.#pending.indexOf('\n'); end !== -1; end = this.#pending.indexOf('\n')) {
        this.#waiting.shift()?.resolve(this.#pending.slice(0, end));
        this.#pending = this.#pending.slice(end + 1);
      }
    });
    const fail = (error?: Error): void => {
      if (this.#socket === socket) this.#socket = undefined;
      for (const { reject } of this.#waiting.splice(0)) reject(error ?? new Error('the store closed the connection'));
    };
    socket.on('error', fail);
    socket.on('close', () => fail());
    return socket;
  }
}
