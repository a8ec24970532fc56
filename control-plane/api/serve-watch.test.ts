import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { status, type ServerWritableStream } from '@grpc/grpc-js';
import { Watch } from '#runtime/watch.ts';
import { SendBacklog } from './send-backlog.ts';
import { serveWatch, type CallFailure } from './serve-watch.ts';

/** A call whose client takes messages only when told. */
class SlowCall extends EventEmitter {
  readonly written: string[] = [];
  isEnded = false;
  failure: CallFailure | undefined;
  #pending: (() => void) | undefined;

  constructor() {
    super();
    this.on('error', (failure: CallFailure) => (this.failure = failure));
  }

  write(message: string, taken?: () => void): boolean {
    this.written.push(message);
    this.#pending = taken;
    return false;
  }

  getPeer(): string {
    return '10.0.0.1:1';
  }

  end(): void {
    this.isEnded = true;
  }

  take(): void {
    const taken = this.#pending;
    this.#pending = undefined;
    taken?.();
  }
}

function serve(slot: Watch<number>, stopping = new AbortController().signal, backlog = new SendBacklog()) {
  const call = new SlowCall();
  const released: string[] = [];
  const encode = (value: number) =>
    value < 0
      ? { failure: { code: status.NOT_FOUND, details: 'gone' } }
      : { messages: value === 0 ? [] : [`${value}`] };
  serveWatch(call as unknown as ServerWritableStream<unknown, string>, slot, encode, { stopping, backlog }, () =>
    released.push('x'),
  );
  return { call, released };
}

test('the first state is sent at once, and a slow reader skips those in between', () => {
  const slot = new Watch(1);
  const { call } = serve(slot);
  assert.deepEqual(call.written, ['1']);
  for (const value of [2, 3, 4]) slot.set(value);
  assert.deepEqual(call.written, ['1'], 'nothing queues up');
  call.take();
  assert.deepEqual(call.written, ['1', '4']);
  call.take();
  slot.set(5);
  assert.deepEqual(call.written, ['1', '4', '5']);
});

test('a state without messages does not hold up the next one', () => {
  const slot = new Watch(0);
  const { call } = serve(slot);
  slot.set(1);
  assert.deepEqual(call.written, ['1']);
});

test('a failure ends the stream with its status and releases what it used', () => {
  const slot = new Watch(1);
  const { call, released } = serve(slot);
  call.take();
  slot.set(-1);
  assert.equal(call.failure?.code, status.NOT_FOUND);
  assert.deepEqual(released, ['x']);
  assert.equal(slot.readerCount, 0);
});

test('a client that goes away, and a server that stops, end the stream once', () => {
  const slot = new Watch(1);
  const gone = serve(slot);
  gone.call.emit('cancelled');
  gone.call.emit('close');
  slot.set(2);
  gone.call.take();
  assert.deepEqual(gone.call.written, ['1']);
  const stopping = new AbortController();
  const stopped = serve(slot, stopping.signal);
  stopping.abort();
  assert.equal(stopped.call.isEnded, true);
  assert.deepEqual([gone.released, stopped.released], [['x'], ['x']]);
  assert.equal(slot.readerCount, 0);
  assert.equal(serve(slot, stopping.signal).call.isEnded, true);
});
