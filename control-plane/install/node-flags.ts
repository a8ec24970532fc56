/**
 * What Node is started with, wherever the bundles run.
 *
 * A young generation that may grow to its default of 16 MiB and three times that keeps 40 MiB after every burst; so small it costs no
 * CPU time that could be measured. Helper threads bring nothing for so little, and where a pod has one core they are in the way. `gc` is
 * for `proxy/idle-memory.ts`. What ran only at the start, in both its forms, is forgotten at the first collection after it instead of the
 * sixth: a tenth of what an idle proxy has of its own, and compiled again when it is called again.
 */
export const NODE_FLAGS = [
  '--disable-warning=ExperimentalWarning',
  '--max-semi-space-size=4',
  '--no-parallel-scavenge',
  '--expose-gc',
  '--bytecode-old-age=1',
  '--flush-baseline-code',
] as const;

/** What it finds in its environment: one arena of malloc instead of one for each thread, which keep what they have freed. */
export const NODE_ENVIRONMENT = { MALLOC_ARENA_MAX: '1' } as const;
