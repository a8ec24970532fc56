import type { Writable } from 'node:stream';

/** Resolves when `writable` takes more bytes again, or is closed. */
export function drained(writable: Writable): Promise<void> {
  return new Promise((resolve) => {
    if (writable.closed || writable.destroyed) {
      resolve();
      return;
    }
    const done = (): void => {
      writable.off('drain', done);
      writable.off('close', done);
      resolve();
    };
    writable.on('drain', done);
    writable.on('close', done);
  });
}
