import type { ServerWritableStream, status } from '@grpc/grpc-js';
import type { Watch } from '#runtime/watch.ts';
import type { SendBacklog } from './send-backlog.ts';

/** Why a call ends before its time. Source: the table of status codes of linkerd2-proxy. */
export type CallFailure = { readonly code: status; readonly details: string };

/** What one state of a slot means for a stream: messages to write, or the end of the stream. */
export type StreamStep<M> = { readonly messages: readonly M[] } | { readonly failure: CallFailure };

/** The server through which a stream goes. */
export type Outlet = {
  /** Ends streams in order, upon which clients come back elsewhere. */
  readonly stopping: AbortSignal;
  readonly backlog: SendBacklog;
};

/**
 * Streams what a slot holds: the state of now at once, then each later one as soon as the client has taken the messages
 * before it. A slow client so skips states and nothing queues up for it; while very much waits for clients, it has to wait for its turn.
 *
 * @param encode    turns a state into messages; called once for each state that is sent, in order
 * @param release   called once when the stream is over
 */
export function serveWatch<V, M>(
  call: ServerWritableStream<unknown, M>,
  slot: Watch<V>,
  encode: (value: V) => StreamStep<M>,
  { stopping, backlog }: Outlet,
  release: () => void,
): void {
  const peer = call.getPeer();
  let sentVersion = -1;
  let unsent: readonly M[] = []; // of the state that was encoded last
  let isWriting = false;
  let isOver = false;
  let turn: Disposable | undefined; // while it waits for one

  const finish = (): void => {
    if (isOver) return;
    isOver = true;
    turn?.[Symbol.dispose]();
    subscription[Symbol.dispose]();
    stopping.removeEventListener('abort', stop);
    release();
  };
  const stop = (): void => {
    finish();
    call.end();
  };
  const pump = (): void => {
    turn = undefined;
    if (isOver || isWriting || (unsent.length === 0 && sentVersion === slot.version)) return;
    if (!backlog.hasRoom(peer)) {
      turn = backlog.onRoom(peer, pump);
      return;
    }
    if (unsent.length === 0) {
      sentVersion = slot.version;
      const step = encode(slot.value);
      if ('failure' in step) {
        finish();
        call.emit('error', step.failure);
        return;
      }
      unsent = step.messages;
    }
    const [message, ...rest] = unsent;
    if (message === undefined) return;
    unsent = rest;
    isWriting = true;
    call.write(message, () => {
      isWriting = false;
      pump();
    });
  };
  const wake = (): void => {
    if (turn === undefined) pump();
  };

  const subscription = slot.subscribe(wake);
  call.once('cancelled', finish);
  call.once('close', finish);
  call.once('error', finish);
  stopping.addEventListener('abort', stop, { once: true });
  if (stopping.aborted) stop();
  else pump();
}

/** Ends a call at once. */
export function failStream(call: ServerWritableStream<unknown, unknown>, failure: CallFailure): void {
  call.emit('error', failure);
}
