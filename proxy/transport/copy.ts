import type { Connection, ConnectionHandler } from './connection.ts';

/**
 * Carries bytes between two connections until both directions have ended. An end in one direction is passed on as an end
 * (half-close), an abort as an abort, and a reader that cannot keep up stops the writer on the other side.
 *
 * @param early   bytes already read from `a` and, second, from `b`
 * @param onDone  called once, with the first error if there was one
 */
export function splice(
  a: Connection,
  b: Connection,
  early: readonly [Buffer | undefined, Buffer | undefined],
  onDone: (error: Error | undefined) => void,
): void {
  a.readFast();
  b.readFast();
  const state = new Splice(onDone);
  const fromA = new Direction(a, b, state);
  const fromB = new Direction(b, a, state);
  a.handler = fromA;
  b.handler = fromB;
  const [earlyA, earlyB] = early;
  begin(fromA, earlyA);
  begin(fromB, earlyB);
}

function begin(direction: Direction, early: Buffer | undefined): void {
  const { from, to } = direction;
  const hasRoom = early === undefined || early.length === 0 || to.write(early);
  if (from.isReadEnded) to.end();
  if (from.isClosed) direction.onClose(undefined);
  else if (hasRoom) from.resume();
  else from.pause();
}

class Splice {
  open = 2;
  error: Error | undefined;
  readonly onDone: (error: Error | undefined) => void;
  constructor(onDone: (error: Error | undefined) => void) {
    this.onDone = onDone;
  }
}

class Direction implements ConnectionHandler {
  readonly from: Connection;
  readonly to: Connection;
  readonly state: Splice;

  constructor(from: Connection, to: Connection, state: Splice) {
    this.from = from;
    this.to = to;
    this.state = state;
  }

  onData(bytes: Buffer): void {
    if (!this.to.writeSoon(bytes)) this.from.pause();
  }

  onEnd(): void {
    this.to.end();
  }

  onDrain(): void {
    this.to.resume();
  }

  onClose(error: Error | undefined): void {
    this.state.error ??= error;
    this.state.open -= 1;
    if (!this.to.isClosed) {
      // Both ends sent and received everything: the other connection closes by itself. Otherwise this was an abort.
      if (error === undefined && this.from.isReadEnded) this.to.endAndClose();
      else this.to.reset();
    }
    if (this.state.open === 0) this.state.onDone(this.state.error);
  }
}
