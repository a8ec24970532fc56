import type { Backend as BackendMessage } from '#api/gen/outbound.ts';
import type { Backend, BackendTarget } from '#model/backend.ts';
import { encodeEndpoint } from './destination.ts';
import { encodeDuration } from './duration.ts';
import { encodeResourceRef } from './meta.ts';

/** Linkerd's figures. linkerd2-proxy takes its queues from its own settings, but refuses a policy without them. */
const QUEUE = { capacity: 100, failfastTimeoutMs: 3_000 };
const PEAK_EWMA = { defaultRttMs: 30, decayMs: 10_000 };

export function encodeBackend({ ref, target }: Backend): BackendMessage {
  return {
    metadata: encodeResourceRef(ref),
    kind: encodeTarget(target),
    queue: { capacity: QUEUE.capacity, failfastTimeout: encodeDuration(QUEUE.failfastTimeoutMs) },
  };
}

function encodeTarget(target: BackendTarget): BackendMessage['kind'] {
  switch (target.kind) {
    case 'none':
      return undefined;
    case 'forward':
      return { $case: 'forward', value: encodeEndpoint(target.endpoint) };
    case 'balancer': {
      const load = {
        defaultRtt: encodeDuration(PEAK_EWMA.defaultRttMs),
        decay: encodeDuration(PEAK_EWMA.decayMs),
      };
      return {
        $case: 'balancer',
        value: {
          discovery: { kind: { $case: 'dst', value: { path: target.authority } } },
          load: { $case: 'peakEwma', value: load },
        },
      };
    }
  }
}
