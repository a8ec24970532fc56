import type { Readable, Writable } from 'node:stream';
import type { Status } from '../status-error.ts';

/** Numbers of the streams of exec and attach. Source: remotecommand protocol. */
export const STDIN = 0;
export const STDOUT = 1;
export const STDERR = 2;
export const STATUS = 3;
export const RESIZE = 4;

/** Taken from the client before it must wait for a slow reader. */
export const PENDING_BYTES_MAX = 256 * 1024;

/** What comes from the client on a channel. */
export type ChannelHandler = {
  data(channel: number, bytes: Buffer): Writable | undefined; // where the bytes went, for back-pressure
  end(channel: number): void;
};

/** The streams of one command between client and server, whatever carries them. Slow readers make the other side wait. */
export interface RemoteChannels {
  receive(handler: ChannelHandler): void;
  /** Sends all of `source`. Ends quietly when either side breaks. */
  pipe(channel: number, source: Readable): Promise<void>;
  /** Says how the command ended, and ends the connection. */
  finish(status: Status | { readonly status: string }): Promise<void>;
}
