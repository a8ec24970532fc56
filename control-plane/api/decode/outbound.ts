import type {
  FailureAccrual as FailureAccrualMessage,
  OutboundPolicy as OutboundPolicyMessage,
  ProxyProtocol,
} from '#api/gen/outbound.ts';
import type { FailureAccrual } from '#model/failure-accrual.ts';
import type { OutboundPolicy, OutboundProtocol } from '#model/outbound.ts';
import type { HttpRoute } from '#model/route.ts';
import { decodeBackoff } from './backoff.ts';
import { DecodeError } from './decode-error.ts';
import { decodeDurationMs } from './duration.ts';
import { decodeResourceRef } from './meta.ts';
import { decodeGrpcRoute, decodeHttpRoute, decodeOpaqueRoute, decodeTlsRoute } from './outbound-route.ts';

/**
 * Reads an answer of `OutboundPolicies`.
 *
 * @throws DecodeError  when any part cannot be understood: a policy is applied as a whole or not at all
 */
export function decodeOutboundPolicy(message: OutboundPolicyMessage): OutboundPolicy {
  return {
    ref: decodeResourceRef(message.metadata, 'metadata'),
    protocol: decodeProtocol(message.protocol),
  };
}

function decodeProtocol(message: ProxyProtocol | undefined): OutboundProtocol {
  const kind = message?.kind;
  if (kind === undefined) throw new DecodeError('protocol.kind', 'missing or unknown');
  const field = `protocol.${kind.$case}`;
  switch (kind.$case) {
    case 'detect': {
      const { timeout, opaque, http1, http2 } = kind.value;
      if (opaque === undefined) throw new DecodeError(`${field}.opaque`, 'missing');
      if (http1 === undefined) throw new DecodeError(`${field}.http1`, 'missing');
      if (http2 === undefined) throw new DecodeError(`${field}.http2`, 'missing');
      return {
        kind: 'detect',
        timeoutMs: decodeDurationMs(timeout, `${field}.timeout`),
        opaque: firstOpaque(opaque.routes, `${field}.opaque`),
        routes: decodeRoutes(http1.routes, `${field}.http1`),
        ...decodeAccrual(http1.failureAccrual, `${field}.http1.failure_accrual`),
      };
    }
    case 'opaque':
      return { kind: 'opaque', opaque: firstOpaque(kind.value.routes, field) };
    case 'http1':
    case 'http2':
      return {
        kind: kind.$case,
        routes: decodeRoutes(kind.value.routes, field),
        ...decodeAccrual(kind.value.failureAccrual, `${field}.failure_accrual`),
      };
    case 'grpc':
      return {
        kind: 'grpc',
        routes: kind.value.routes.map((route, index) => decodeGrpcRoute(route, `${field}.routes[${index}]`)),
        ...decodeAccrual(kind.value.failureAccrual, `${field}.failure_accrual`),
      };
    case 'tls':
      return {
        kind: 'tls',
        routes: kind.value.routes.map((route, index) => decodeTlsRoute(route, `${field}.routes[${index}]`)),
      };
  }
}

function decodeRoutes(messages: readonly Parameters<typeof decodeHttpRoute>[0][], field: string): readonly HttpRoute[] {
  return messages.map((message, index) => decodeHttpRoute(message, `${field}.routes[${index}]`));
}

function firstOpaque(
  messages: readonly Parameters<typeof decodeOpaqueRoute>[0][],
  field: string,
): ReturnType<typeof decodeOpaqueRoute> {
  const [first] = messages;
  if (first === undefined) throw new DecodeError(`${field}.routes`, 'empty');
  return decodeOpaqueRoute(first, `${field}.routes[0]`);
}

function decodeAccrual(
  message: FailureAccrualMessage | undefined,
  field: string,
): { readonly failureAccrual?: FailureAccrual } {
  if (message === undefined) return {};
  const { kind } = message;
  if (kind === undefined) throw new DecodeError(`${field}.kind`, 'missing or unknown');
  const backoff = decodeBackoff(kind.value.backoff, `${field}.backoff`);
  if (kind.$case === 'consecutiveFailures') {
    const { maxFailures } = kind.value;
    if (maxFailures < 1) throw new DecodeError(`${field}.max_failures`, 'must be 1 or more');
    return { failureAccrual: { kind: 'consecutive', maxFailures, backoff } };
  }
  const { successRateThreshold, decay, minRequests, maxConsecutiveFailures } = kind.value;
  const windowMs = decay === undefined ? 10_000 : decodeDurationMs(decay, `${field}.decay`);
  if (!(successRateThreshold >= 0 && successRateThreshold <= 1)) {
    throw new DecodeError(`${field}.success_rate_threshold`, 'not within 0..1');
  }
  if (successRateThreshold > 0 && windowMs < 10) throw new DecodeError(`${field}.decay`, 'less than 10 ms');
  if (minRequests > 1_000_000) throw new DecodeError(`${field}.min_requests`, 'more than 1000000');
  return {
    failureAccrual: {
      kind: 'unified',
      successRateThreshold,
      windowMs,
      minRequests,
      maxConsecutiveFailures,
      backoff,
    },
  };
}
