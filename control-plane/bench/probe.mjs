// Loaded beside the program of a process that is measured (`--import`): collects garbage and watches the event loop when its parent
// asks for it. Nothing of this is in the program. Not TypeScript: the loader of that would be in what is measured.
import { monitorEventLoopDelay } from 'node:perf_hooks';

const RESOLUTION_MS = 10;
const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });

/** Milliseconds by which a timer was late. */
const late = (nanoseconds) => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);

const ANSWERS = {
  collect() {
    globalThis.gc();
    globalThis.gc();
    return process.memoryUsage();
  },
  watchLoop() {
    delays.reset();
    delays.enable();
    return {};
  },
  loopDelay() {
    delays.disable();
    return { p99: late(delays.percentile(99)), max: late(delays.max) };
  },
};

process.on('message', (question) => process.send(ANSWERS[question]()));
process.channel.unref();
