import { status, type handleUnaryCall } from '@grpc/grpc-js';
import type { CertifyRequest, CertifyResponse, IdentityServer } from '#api/gen/identity.ts';
import type { Logger } from '#runtime/log.ts';
import { certify, type CertifyContext, type CertifyResult } from './certify.ts';
import type { IdentityMetrics } from './metrics.ts';

type Certify = handleUnaryCall<CertifyRequest, CertifyResponse>;

/** Requests that are answered at the same time. More are told to come back. */
const RUNNING_MAX = 512;

/** The gRPC service `Identity`. */
export function identityService(context: CertifyContext, metrics: IdentityMetrics, log: Logger): IdentityServer {
  let running = 0;

  const answer = async (request: CertifyRequest): Promise<CertifyResult> => {
    if (running >= RUNNING_MAX) {
      return { failure: { code: status.RESOURCE_EXHAUSTED, details: 'too many requests at once' } };
    }
    running += 1;
    try {
      return await certify(request, context);
    } catch (error) {
      log.error({ err: error, identity: request.identity }, 'certify failed');
      return { failure: { code: status.INTERNAL, details: 'internal error' } };
    } finally {
      running -= 1;
    }
  };

  const reply = async (...[call, callback]: Parameters<Certify>): Promise<void> => {
    const startedMs = performance.now();
    const { identity } = call.request;
    const result = await answer(call.request);
    const code = 'failure' in result ? result.failure.code : status.OK;
    metrics.certified(code, performance.now() - startedMs);
    if ('failure' in result) {
      log.warn({ identity, code: status[code], reason: result.failure.details }, 'refused a certificate');
      callback(result.failure);
    } else {
      log.info({ identity, validUntil: result.response.validUntil }, 'issued a certificate');
      callback(null, result.response);
    }
  };
  return { certify: (call, callback) => void reply(call, callback) }; // never rejects
}
