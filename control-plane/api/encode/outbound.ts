import type {
  Backend,
  HttpRoute,
  OpaqueRoute,
  OutboundPolicy as OutboundPolicyMessage,
  ProxyProtocol,
} from '#api/gen/outbound.ts';
import type { OutboundBackend, OutboundPolicy } from '#model/outbound.ts';
import type { ResourceRef } from '#model/resource-ref.ts';
import { encodeEndpoint } from './destination.ts';
import { encodeDuration } from './duration.ts';
import { encodeResourceRef } from './meta.ts';

/** Linkerd's figures. linkerd2-proxy takes its queues from its own settings, but refuses a policy without them. */
const QUEUE = { capacity: 100, failfastTimeoutMs: 3_000 };
const PEAK_EWMA = { defaultRttMs: 30, decayMs: 10_000 };

export function encodeOutboundPolicy(policy: OutboundPolicy): OutboundPolicyMessage {
  return { metadata: encodeResourceRef(policy.ref), protocol: encodeProtocol(policy) };
}

function encodeProtocol(policy: OutboundPolicy): ProxyProtocol {
  const opaque = { routes: [opaqueRoute(policy)] };
  // A target where nothing may go is the same for every protocol: it is not looked at.
  if (policy.backend.kind === 'forbidden' || policy.protocol.kind === 'opaque') {
    return { kind: { $case: 'opaque', value: opaque } };
  }
  const http = { routes: [httpRoute(policy)], failureAccrual: undefined };
  if (policy.protocol.kind !== 'detect') return { kind: { $case: policy.protocol.kind, value: http } };
  const timeout = encodeDuration(policy.protocol.timeoutMs);
  return { kind: { $case: 'detect', value: { timeout, opaque, http1: http, http2: http } } };
}

function opaqueRoute({ ref, backend }: OutboundPolicy): OpaqueRoute {
  if (backend.kind === 'forbidden') {
    return {
      metadata: encodeResourceRef({ type: 'default', name: backend.route }),
      rules: [
        {
          backends: { kind: { $case: 'empty', value: {} } },
          filters: [{ kind: { $case: 'forbidden', value: {} } }],
        },
      ],
    };
  }
  const backends = [{ backend: encodeBackend(ref, backend), filters: [] }];
  return {
    metadata: encodeResourceRef({ type: 'default', name: 'opaq' }),
    rules: [{ backends: { kind: { $case: 'firstAvailable', value: { backends } } }, filters: [] }],
  };
}

function httpRoute({ ref, backend }: OutboundPolicy): HttpRoute {
  const backends = [{ backend: encodeBackend(ref, backend), filters: [], requestTimeout: undefined }];
  return {
    metadata: encodeResourceRef({ type: 'default', name: 'http' }),
    hosts: [],
    rules: [
      {
        matches: [{ path: { kind: { $case: 'prefix', value: '/' } }, headers: [], queryParams: [], method: undefined }],
        filters: [],
        backends: { kind: { $case: 'firstAvailable', value: { backends } } },
        requestTimeout: undefined,
        timeouts: { response: undefined, request: undefined, idle: undefined },
        retry: undefined,
        allowL5dRequestHeaders: false,
      },
    ],
  };
}

function encodeBackend(ref: ResourceRef, backend: OutboundBackend): Backend {
  return {
    metadata: encodeResourceRef(ref),
    kind: encodeBackendKind(backend),
    queue: { capacity: QUEUE.capacity, failfastTimeout: encodeDuration(QUEUE.failfastTimeoutMs) },
  };
}

function encodeBackendKind(backend: OutboundBackend): Backend['kind'] {
  switch (backend.kind) {
    case 'forbidden':
      return undefined;
    case 'forward':
      return { $case: 'forward', value: encodeEndpoint(backend.endpoint) };
    case 'balancer': {
      const load = {
        defaultRtt: encodeDuration(PEAK_EWMA.defaultRttMs),
        decay: encodeDuration(PEAK_EWMA.decayMs),
      };
      return {
        $case: 'balancer',
        value: {
          discovery: { kind: { $case: 'dst', value: { path: backend.authority } } },
          load: { $case: 'peakEwma', value: load },
        },
      };
    }
  }
}
