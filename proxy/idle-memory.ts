import { trimHeap } from '#netlink/libc.ts';

/** How often it is looked at. */
const LOOK_MS = 2000;
/** Share of a core below which a proxy has nothing to do: some ten requests a second. */
const IDLE_SHARE = 0.005;
/** So often in turn: after a burst the next one may be near. */
const IDLE_LOOKS = 3;
/** Growth that is worth a pause of about 10 ms, and compiling anew what is called then. */
const GROWTH_BYTES_MIN = 3 * 1024 * 1024;
/** Between two collections. */
const PAUSE_MS = 60_000;

type Collect = (options: {
  readonly type: 'major';
  readonly execution: 'sync';
  readonly flavor: 'last-resort';
}) => void;

/**
 * Gives memory back after a burst, and after the start. V8 collects only when something is allocated, and malloc keeps what
 * is freed, so what is left over stays for as long as a process is idle, which most proxies are most of the time.
 *
 * Works where Node was started with `--expose-gc`.
 */
export function giveMemoryBackWhenIdle(): Disposable {
  const { gc: collect } = globalThis as { gc?: Collect };
  let cpu = process.cpuUsage();
  let lookedMs = performance.now();
  let collectedMs = Number.NEGATIVE_INFINITY;
  let idleLooks = 0;
  let keptBytes = 0; // after the last collection
  const look = (): void => {
    const used = process.cpuUsage(cpu);
    cpu = process.cpuUsage();
    const nowMs = performance.now();
    const share = (used.user + used.system) / 1000 / (nowMs - lookedMs);
    lookedMs = nowMs;
    idleLooks = share > IDLE_SHARE ? 0 : idleLooks + 1;
    if (idleLooks < IDLE_LOOKS || nowMs - collectedMs < PAUSE_MS) return;
    // Resident memory, since what malloc keeps is part of no other count.
    if (process.memoryUsage.rss() - keptBytes < GROWTH_BYTES_MIN) return;
    collectedMs = nowMs;
    collect?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
    trimHeap();
    keptBytes = process.memoryUsage.rss();
  };
  const timer = setInterval(look, LOOK_MS);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
