import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../testing/mesh.ts';
import { Deadline, Deadlines } from './deadlines.ts';

class Noted extends Deadline {
  readonly #name: string;
  readonly #notes: string[];
  readonly #then: () => void;

  constructor(name: string, notes: string[], then: () => void = () => {}) {
    super();
    this.#name = name;
    this.#notes = notes;
    this.#then = then;
  }

  override onDeadline(): void {
    this.#notes.push(this.#name);
    this.#then();
  }
}

test('deadlines come once, and those given up or put off do not', async () => {
  const now = (): number => performance.now();
  const deadlines = new Deadlines(now);
  const notes: string[] = [];
  const [early, late, gone, putOff] = ['early', 'late', 'gone', 'put off'].map((name) => new Noted(name, notes)) as [
    Noted,
    Noted,
    Noted,
    Noted,
  ];
  const startMs = now();
  deadlines.set(late, startMs + 60);
  deadlines.set(gone, startMs + 10);
  deadlines.set(early, startMs + 20);
  deadlines.set(putOff, startMs + 10);
  deadlines.giveUp(gone);
  deadlines.set(putOff, startMs + 100_000);
  await eventually(() => notes.length >= 2, 'the deadlines');
  assert.deepEqual(notes, ['early', 'late']);
  deadlines.set(early, now() + 1);
  await eventually(() => notes.length >= 3, 'one that is set anew');
  assert.deepEqual(notes, ['early', 'late', 'early']);
  deadlines.giveUp(putOff);
});

test('a deadline may give up or set others when it comes', async () => {
  const now = (): number => performance.now();
  const deadlines = new Deadlines(now);
  const notes: string[] = [];
  const other = new Noted('other', notes);
  const again = new Noted('again', notes);
  const first = new Noted('first', notes, () => {
    deadlines.giveUp(other);
    deadlines.set(again, now() + 5);
  });
  const atMs = now() + 5;
  // The newest is looked at first.
  deadlines.set(other, atMs);
  deadlines.set(first, atMs);
  await eventually(() => notes.includes('again'), 'the last one');
  assert.deepEqual(notes, ['first', 'again']);
});

test('a deadline further away than any timer costs nothing until then', async () => {
  let looks = 0;
  const deadlines = new Deadlines(() => {
    looks += 1;
    return performance.now();
  });
  const notes: string[] = [];
  const far = new Noted('far', notes);
  deadlines.set(far, performance.now() + 30 * 24 * 3_600_000);
  await new Promise((resolve) => void setTimeout(resolve, 50));
  assert.ok(looks < 5, `${looks} looks at the clock`);
  assert.deepEqual(notes, []);
  deadlines.giveUp(far);
});
