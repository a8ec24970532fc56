import type { Backend as BackendMessage } from '#api/gen/outbound.ts';
import type { Backend, BackendTarget } from '#model/backend.ts';
import type { ResourceRef } from '#model/resource-ref.ts';
import { DecodeError } from './decode-error.ts';
import { decodeEndpoint } from './destination.ts';
import { decodeDurationMs } from './duration.ts';
import { decodeResourceRef } from './meta.ts';

/** Outbound objects are named in full. */
export function decodeRef(message: Parameters<typeof decodeResourceRef>[0], field: string): ResourceRef {
  const ref = decodeResourceRef(message, field);
  if (ref.type === 'default') return ref;
  if (ref.group === '') throw new DecodeError(`${field}.resource.group`, 'empty');
  if (ref.kind === '') throw new DecodeError(`${field}.resource.kind`, 'empty');
  if (ref.namespace === undefined) throw new DecodeError(`${field}.resource.namespace`, 'empty');
  return ref;
}

export function decodeBackend(message: BackendMessage | undefined, field: string): Backend {
  if (message === undefined) throw new DecodeError(field, 'missing');
  if (message.queue?.failfastTimeout === undefined) throw new DecodeError(`${field}.queue.failfast_timeout`, 'missing');
  return { ref: decodeRef(message.metadata, `${field}.metadata`), target: decodeTarget(message.kind, field) };
}

function decodeTarget(kind: BackendMessage['kind'], field: string): BackendTarget {
  if (kind === undefined) return { kind: 'none' };
  if (kind.$case === 'forward') return { kind: 'forward', endpoint: decodeEndpoint(kind.value, `${field}.forward`) };
  const path = kind.value.discovery?.kind?.value.path ?? '';
  if (path === '') throw new DecodeError(`${field}.balancer.discovery`, 'missing');
  const { load } = kind.value;
  if (load === undefined) throw new DecodeError(`${field}.balancer.load`, 'missing or unknown');
  if (load.$case === 'peakEwma') {
    decodeDurationMs(load.value.defaultRtt, `${field}.balancer.load.default_rtt`);
    decodeDurationMs(load.value.decay, `${field}.balancer.load.decay`);
  }
  return { kind: 'balancer', authority: path };
}
