import { asList, asNumber, asObject, asText, asTextMap, isObject } from '#k8s/json.ts';
import { hasPort } from './annotation-values.ts';
import { annotateService, injectPod, type InjectionContext, type PodOutcome, type ServiceFacts } from './patch.ts';
import { parsePod, PodError, type Pod } from './pod.ts';

/** The fields of an admission request that the injector reads. Source: `admission.k8s.io/v1` AdmissionReview. */
export type AdmissionRequest = {
  readonly uid: string;
  readonly kind: { readonly group: string; readonly kind: string };
  readonly namespace: string;
  readonly operation: string;
  readonly isDryRun: boolean;
  readonly object: unknown;
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
  const kind = asObject(field(request, 'kind', 'object'));
  const { namespace, operation, dryRun, object } = asObject(request);
  return {
    uid: field(request, 'uid', 'string') as string,
    kind: { group: asText(kind['group']) ?? '', kind: asText(kind['kind']) ?? '' },
    namespace: asText(namespace) ?? '',
    operation: asText(operation) ?? '',
    isDryRun: dryRun === true,
    object,
  };
}

/** A pod that was decided about. */
export type DecidedPod = { readonly pod: Pod; readonly outcome: PodOutcome };

/**
 * The answer to one request. It always allows: a pod without a proxy is better than no pod.
 *
 * @throws ReviewError  when the object of the request is malformed
 */
export function review(
  request: AdmissionRequest,
  context: InjectionContext,
): { readonly response: AdmissionReviewResponse; readonly decided: DecidedPod | undefined } {
  const isCreated = request.kind.group === '' && request.operation === 'CREATE';
  if (isCreated && request.kind.kind === 'Service') {
    const patch = annotateService(parseService(field(request, 'object', 'object'), context), context);
    return { response: allow(request.uid, patch, []), decided: undefined };
  }
  if (!isCreated || request.kind.kind !== 'Pod') return { response: allow(request.uid, [], []), decided: undefined };
  const pod = readPod(field(request, 'object', 'object'));
  const outcome = injectPod(pod, request.namespace, context);
  const { decision } = outcome;
  // Somebody asked for a proxy, or against one, and nobody understood: the rest are reasons that need no warning.
  const isMisspelt = decision.kind === 'skip' && decision.reason.startsWith('invalid_inject_annotation');
  const warnings = [
    ...(isMisspelt ? [`tulle: no proxy: ${decision.message}`] : []),
    ...outcome.problems.map((problem) => `tulle: ${problem.message} (ignored)`),
  ];
  return { response: allow(request.uid, outcome.patch, warnings), decided: { pod, outcome } };
}

function readPod(object: unknown): Pod {
  try {
    return parsePod(object);
  } catch (error) {
    if (!(error instanceof PodError)) throw error;
    throw new ReviewError(`AdmissionReview: request.object: ${error.message}`);
  }
}

/** Ports that are named by their target are left to the pods. Source: linkerd2 `pkg/inject` `CreateOpaquePortsPatch`. */
function parseService(object: unknown, { values }: InjectionContext): ServiceFacts {
  const service = asObject(object);
  const { annotations } = asObject(field(service, 'metadata', 'object'));
  const hasAnnotations = annotations !== undefined && annotations !== null;
  if (hasAnnotations && !isObject(annotations))
    throw new ReviewError('AdmissionReview: request.object: metadata.annotations is not an object');
  const opaquePorts = asList(asObject(service['spec'])['ports']).flatMap((entry) => {
    const { port, targetPort } = asObject(entry);
    const isPlain = targetPort === undefined || targetPort === null || targetPort === 0;
    const target = isPlain ? port : targetPort;
    const number = asNumber(port);
    const isOpaque = typeof target === 'number' && hasPort(values.proxy.opaquePorts, target);
    return number !== undefined && isOpaque ? [number] : [];
  });
  return { annotations: hasAnnotations ? asTextMap(annotations) : undefined, opaquePorts };
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
  if (type === 'object' ? !isObject(value) : typeof value !== type)
    throw new ReviewError(`AdmissionReview: ${name} is missing or not ${type === 'object' ? 'an object' : 'text'}`);
  return value;
}
