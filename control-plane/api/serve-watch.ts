import type { ServerWritableStream, status } from '@grpc/grpc-js';
import type { Watch } from '#runtime/watch.ts';

/** Why a call ends before its time. Source: the table of status codes of linkerd2-proxy. */
export type CallFailure = { readonly code: status; readonly details: string };

/** What one state of a slot means for a stream: messages to write, or the end of the stream. */
export type StreamStep<M> = { readonly messages: readonly M[] } | { readonly failure: CallFailure };

/**
 * Streams what a slot holds: the state of now at once, then each later one as soon as the client has taken the messages
 * before it. A slow client so skips states and nothing queues up for it.
 *
 * @param encode    turns a state into messages; called once for each state that is sent, in order
 * @param stopping  ends the stream in order, upon which the client comes back elsewhere
 * @param release   called once when the stream is over
 */
export function serveWatch<V, M>(
  call: ServerWritableStream<unknown, M>,
  slot: Watch<V>,
  encode: (value: V) => StreamStep<M>,
  stopping: AbortSignal,
  release: () => void,
): void {
  let sentVersion = -1;
  let isWriting = false;
  let isOver = false;

  const finish = (): void => {
    if (isOver) return;
    isOver = true;
    subscription[Symbol.dispose]();
    stopping.removeEventListener('abort', stop);
    release();
  };
  const stop = (): void => {
    finish();
    call.end();
  };
  const pump = (): void => {
    if (isOver || isWriting || sentVersion === slot.version) return;
    sentVersion = slot.version;
    const step = encode(slot.value);
    if ('failure' in step) {
      finish();
      call.emit('error', step.failure);
      return;
    }
    const last = step.messages.at(-1);
    if (last === undefined) return;
    isWriting = true;
    for (const message of step.messages.slice(0, -1)) call.write(message);
    call.write(last, () => {
      isWriting = false;
      pump();
    });
  };

  const subscription = slot.subscribe(pump);
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
