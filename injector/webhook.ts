import { injectPod, type InjectionContext, type PodOutcome } from './patch.ts';
import type { Pod } from './pod.ts';

/** The fields of an admission request that the injector reads. Source: `admission.k8s.io/v1` AdmissionReview. */
export type AdmissionRequest = {
  readonly uid: string;
  readonly kind: { readonly group: string; readonly kind: string };
  readonly namespace: string;
  readonly operation: string;
  readonly object: Pod;
};

export type AdmissionReviewResponse = {
  readonly apiVersion: 'admission.k8s.io/v1';
  readonly kind: 'AdmissionReview';
  readonly response: {
    readonly uid: string;
    readonly allowed: true;
    readonly patchType?: 'JSONPatch';
    readonly patch?: string; // base64
    readonly warnings?: readonly string[];
  };
};

/** A body that is no AdmissionReview. The API server then follows the webhook's failure policy. */
export class ReviewError extends Error {
  override readonly name = 'ReviewError';
}

const MAX_WARNINGS = 8; // the API server cuts warnings at 4 KiB in total
const MAX_WARNING_LENGTH = 256;

/** @throws ReviewError  naming the field that is missing or wrong */
export function parseReview(body: unknown): AdmissionRequest {
  const request = field(body, 'request', 'object');
  const kind = field(request, 'kind', 'object');
  return {
    uid: field(request, 'uid', 'string') as string,
    kind: { group: text(kind, 'group'), kind: text(kind, 'kind') },
    namespace: text(request, 'namespace'),
    operation: text(request, 'operation'),
    object: field(request, 'object', 'object') as Pod,
  };
}

/** The answer to one request. It always allows: a pod without a proxy is better than no pod. */
export function review(
  request: AdmissionRequest,
  context: InjectionContext,
): { readonly response: AdmissionReviewResponse; readonly outcome: PodOutcome | undefined } {
  if (request.kind.group !== '' || request.kind.kind !== 'Pod' || request.operation !== 'CREATE') {
    return { response: allow(request.uid, [], []), outcome: undefined };
  }
  const outcome = injectPod(request.object, request.namespace, context);
  const { decision } = outcome;
  // Somebody asked for a proxy, or against one, and nobody understood: the rest are reasons that need no warning.
  const isMisspelt = decision.kind === 'skip' && decision.reason.startsWith('invalid_inject_annotation');
  const warnings = [
    ...(isMisspelt ? [`tulle: no proxy: ${decision.message}`] : []),
    ...outcome.problems.map((problem) => `tulle: ${problem.message} (ignored)`),
  ];
  return { response: allow(request.uid, outcome.patch, warnings), outcome };
}

function allow(uid: string, patch: readonly unknown[], warnings: readonly string[]): AdmissionReviewResponse {
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: {
      uid,
      allowed: true,
      ...(patch.length === 0
        ? {}
        : { patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(patch)).toString('base64') }),
      ...(warnings.length === 0
        ? {}
        : { warnings: warnings.slice(0, MAX_WARNINGS).map((warning) => warning.slice(0, MAX_WARNING_LENGTH)) }),
    },
  };
}

function field(parent: unknown, name: string, type: 'object' | 'string'): unknown {
  const value = (parent as Record<string, unknown> | null | undefined)?.[name];
  if (typeof value !== type || value === null)
    throw new ReviewError(`AdmissionReview: ${name} is missing or not ${type === 'object' ? 'an object' : 'text'}`);
  return value;
}

function text(parent: unknown, name: string): string {
  const value = (parent as Record<string, unknown>)[name];
  return typeof value === 'string' ? value : '';
}
