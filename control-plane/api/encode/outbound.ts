import type { OutboundPolicy as OutboundPolicyMessage, ProxyProtocol } from '#api/gen/outbound.ts';
import type { FailureAccrual } from '#model/failure-accrual.ts';
import type { OutboundPolicy, OutboundProtocol } from '#model/outbound.ts';
import { encodeBackoff } from './backoff.ts';
import { encodeDuration } from './duration.ts';
import { encodeGrpcRoute, encodeHttpRoute, encodeOpaqueRoute, encodeTlsRoute } from './outbound-route.ts';
import { encodeResourceRef } from './meta.ts';

export function encodeOutboundPolicy(policy: OutboundPolicy): OutboundPolicyMessage {
  return { metadata: encodeResourceRef(policy.ref), protocol: { kind: encodeProtocol(policy.protocol) } };
}

function encodeProtocol(protocol: OutboundProtocol): ProxyProtocol['kind'] {
  switch (protocol.kind) {
    case 'opaque':
      return { $case: 'opaque', value: { routes: [encodeOpaqueRoute(protocol.opaque)] } };
    case 'tls':
      return { $case: 'tls', value: { routes: protocol.routes.map(encodeTlsRoute) } };
    case 'grpc':
      return { $case: 'grpc', value: { routes: protocol.routes.map(encodeGrpcRoute), ...accrualOf(protocol) } };
    case 'http1':
    case 'http2':
      return { $case: protocol.kind, value: { routes: protocol.routes.map(encodeHttpRoute), ...accrualOf(protocol) } };
    case 'detect': {
      const http = { routes: protocol.routes.map(encodeHttpRoute), ...accrualOf(protocol) };
      return {
        $case: 'detect',
        value: {
          timeout: encodeDuration(protocol.timeoutMs),
          opaque: { routes: [encodeOpaqueRoute(protocol.opaque)] },
          http1: http,
          http2: http,
        },
      };
    }
  }
}

type AccrualMessage = NonNullable<Extract<ProxyProtocol['kind'], { $case: 'http1' }>>['value']['failureAccrual'];

function accrualOf({ failureAccrual }: { readonly failureAccrual?: FailureAccrual }): {
  failureAccrual: AccrualMessage;
} {
  return { failureAccrual: failureAccrual && encodeFailureAccrual(failureAccrual) };
}

function encodeFailureAccrual(accrual: FailureAccrual): NonNullable<AccrualMessage> {
  const backoff = encodeBackoff(accrual.backoff);
  if (accrual.kind === 'consecutive') {
    const value = { maxFailures: accrual.maxFailures, backoff };
    return { kind: { $case: 'consecutiveFailures', value }, ejection: undefined };
  }
  const value = {
    successRateThreshold: accrual.successRateThreshold,
    decay: encodeDuration(accrual.windowMs),
    minRequests: accrual.minRequests,
    maxConsecutiveFailures: accrual.maxConsecutiveFailures,
    backoff,
  };
  return { kind: { $case: 'unified', value }, ejection: undefined };
}
