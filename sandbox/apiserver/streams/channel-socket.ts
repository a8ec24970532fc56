import type { Readable, Writable } from 'node:stream';
import type { RawData, WebSocket } from 'ws';
import type { Status } from '../status-error.ts';
import { drained } from './drained.ts';
import { PENDING_BYTES_MAX, STATUS, type ChannelHandler, type RemoteChannels } from './remote-command.ts';

const CLOSE_CHANNEL = 255;

/**
 * Several byte streams over one WebSocket: the first byte of a message is its channel. Source: remotecommand protocol
 * v4/v5.channel.k8s.io. Slow readers on either side make the other side wait.
 */
export class ChannelSocket implements RemoteChannels {
  readonly #socket: WebSocket;
  readonly #canEndChannels: boolean;

  /** @param canEndChannels  v5: channel 255 ends the channel named by the second byte */
  constructor(socket: WebSocket, canEndChannels: boolean) {
    this.#socket = socket;
    this.#canEndChannels = canEndChannels;
  }

  receive(handler: ChannelHandler): void {
    this.#socket.on('message', (message) => {
      const bytes = toBuffer(message);
      const channel = bytes[0];
      if (channel === undefined) return;
      if (channel === CLOSE_CHANNEL && this.#canEndChannels) {
        if (bytes.length === 2) handler.end(bytes[1] ?? 0);
        return;
      }
      const target = handler.data(channel, bytes.subarray(1));
      if (target !== undefined && target.writableLength > PENDING_BYTES_MAX) void this.#waitFor(target); // never rejects
    });
  }

  get isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  /** @returns when the bytes are on their way; at once when the client is gone */
  async send(channel: number, bytes: Uint8Array): Promise<void> {
    if (!this.isOpen) return;
    await new Promise<void>((resolve) => {
      this.#socket.send(Buffer.concat([Buffer.from([channel]), bytes]), { binary: true }, () => resolve());
    });
  }

  async pipe(channel: number, source: Readable): Promise<void> {
    try {
      for await (const chunk of source) {
        if (!this.isOpen) return;
        await this.send(channel, Buffer.from(chunk as Uint8Array));
      }
    } catch {
      // The source was destroyed: the exit status, not the stream, says what happened.
    }
  }

  async finish(status: Status | { readonly status: string }): Promise<void> {
    await this.send(STATUS, Buffer.from(JSON.stringify(status)));
    this.close();
  }

  /** Ends the connection in order; waits for the client's answer, as long as the WebSocket library allows it. */
  close(code = 1000, reason = ''): void {
    this.#socket.close(code, reason);
  }

  async #waitFor(target: Writable): Promise<void> {
    this.#socket.pause();
    await drained(target);
    this.#socket.resume();
  }
}

export function toBuffer(message: RawData): Buffer {
  if (Array.isArray(message)) return Buffer.concat(message);
  return Buffer.isBuffer(message) ? message : Buffer.from(message);
}
