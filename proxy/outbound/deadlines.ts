import { TIMER_MS_MAX } from '#runtime/clock.ts';

/** Something that must have ended by a time. Its fields belong to the list. */
export class Deadline {
  /** Monotonic milliseconds; infinite while there is none. */
  atMs = Number.POSITIVE_INFINITY;
  previous: Deadline | undefined;
  next: Deadline | undefined;
  isListed = false;

  /** The time has come. It is out of the list until it is set again. */
  onDeadline(): void {}
}

/**
 * Many deadlines on one timer. Requests nearly always end before their time, so setting one and giving it up must cost nothing: the
 * timer is set for the earliest deadline known when it was last set, and looks at all of them when it fires.
 */
export class Deadlines {
  readonly #now: () => number;
  #first: Deadline | undefined;
  #timer: NodeJS.Timeout | undefined;
  #timerMs = Number.POSITIVE_INFINITY; // when it fires
  readonly #sweep = (): void => this.#onTimer();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** @param atMs  monotonic milliseconds; replaces the one before */
  set(deadline: Deadline, atMs: number): void {
    deadline.atMs = atMs;
    if (!deadline.isListed) {
      deadline.isListed = true;
      deadline.previous = undefined;
      deadline.next = this.#first;
      if (this.#first !== undefined) this.#first.previous = deadline;
      this.#first = deadline;
    }
    if (atMs < this.#timerMs) this.#schedule(atMs);
  }

  giveUp(deadline: Deadline): void {
    if (!deadline.isListed) return;
    const { previous, next } = deadline;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next !== undefined) next.previous = previous;
    deadline.isListed = false;
    deadline.previous = undefined;
    deadline.next = undefined;
    deadline.atMs = Number.POSITIVE_INFINITY;
  }

  #schedule(atMs: number): void {
    clearTimeout(this.#timer);
    this.#timerMs = atMs;
    this.#timer = setTimeout(this.#sweep, Math.min(TIMER_MS_MAX, Math.max(0, atMs - this.#now())));
    this.#timer.unref();
  }

  #onTimer(): void {
    this.#timerMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#now();
    const due: Deadline[] = [];
    let earliestMs = Number.POSITIVE_INFINITY;
    for (let one = this.#first; one !== undefined; one = one.next) {
      if (one.atMs <= nowMs) due.push(one);
      else if (one.atMs < earliestMs) earliestMs = one.atMs;
    }
    if (earliestMs < this.#timerMs) this.#schedule(earliestMs);
    for (const one of due) {
      if (one.atMs > nowMs) continue; // given up, or set anew, by one before it
      this.giveUp(one);
      one.onDeadline();
    }
  }
}
