import type { AdmissionRequest } from './admission.ts';
import { isJsonObject, type JsonObject, type KubeObject } from './object.ts';
import { metadataOf } from './object-meta.ts';
import { apiVersionOf, resourceKey, type ResourceType } from './registry.ts';
import { userInfo } from './reviews.ts';
import { toScale } from './scale.ts';
import { StatusError } from './status-error.ts';

const REVIEW_VERSION = 'admission.k8s.io/v1';

/** What a webhook decided. `patch` is a JSON patch, undefined for none. */
export type Verdict = {
  readonly isAllowed: boolean;
  readonly status: JsonObject;
  readonly patch: unknown;
  readonly warnings: readonly string[];
};

/**
 * The question put to a webhook. Source: admission.k8s.io/v1 `AdmissionReview`.
 *
 * @param matched  the version the webhook asked for, into which the objects are converted
 */
export function reviewOf(request: AdmissionRequest, matched: ResourceType, uid: string): JsonObject {
  const { operation, type, subresource, namespace, name, object, current, options } = request;
  const namespaceOfRequest = resourceKey(type) === 'namespaces' ? name : namespace;
  return {
    kind: 'AdmissionReview',
    apiVersion: REVIEW_VERSION,
    request: {
      uid,
      kind: kindOf(matched, subresource),
      resource: resourceOf(matched),
      ...(subresource === undefined ? {} : { subResource: subresource }),
      requestKind: kindOf(type, subresource),
      requestResource: resourceOf(type),
      ...(subresource === undefined ? {} : { requestSubResource: subresource }),
      ...(name === '' ? {} : { name }),
      ...(namespaceOfRequest === undefined ? {} : { namespace: namespaceOfRequest }),
      operation,
      userInfo: userInfo(options.user),
      object: object === undefined ? null : shown(matched, subresource, object),
      oldObject: current === undefined ? null : shown(matched, subresource, current),
      dryRun: options.isDryRun,
      options: optionsOf(request),
    },
  };
}

function kindOf(type: ResourceType, subresource: string | undefined): JsonObject {
  if (subresource === 'scale') return { group: 'autoscaling', version: 'v1', kind: 'Scale' };
  return { group: type.group, version: type.version, kind: type.kind };
}

function resourceOf(type: ResourceType): JsonObject {
  return { group: type.group, version: type.version, resource: type.plural };
}

function shown(type: ResourceType, subresource: string | undefined, object: JsonObject): JsonObject {
  if (subresource === 'scale') return toScale(type, object as KubeObject);
  const metadata = metadataOf(object);
  return {
    ...object,
    apiVersion: apiVersionOf(type),
    kind: type.kind,
    metadata: { ...metadata, creationTimestamp: metadata['creationTimestamp'] ?? null },
  };
}

function optionsOf({ operation, options }: AdmissionRequest): JsonObject {
  const kind = { CREATE: 'CreateOptions', UPDATE: 'UpdateOptions', DELETE: 'DeleteOptions', CONNECT: 'ConnectOptions' };
  const common = {
    kind: kind[operation],
    apiVersion: 'meta.k8s.io/v1',
    ...(options.isDryRun ? { dryRun: ['All'] } : {}),
  };
  if (operation === 'DELETE' || operation === 'CONNECT') return common;
  return { ...common, fieldManager: options.fieldManager, fieldValidation: options.fieldValidation };
}

/** @throws Error when the answer is no answer to this question */
export function verdictOf(answer: unknown, uid: string): Verdict {
  if (!isJsonObject(answer) || answer['kind'] !== 'AdmissionReview' || answer['apiVersion'] !== REVIEW_VERSION) {
    const { kind, apiVersion } = isJsonObject(answer) ? answer : {};
    const got = `${JSON.stringify(apiVersion)}, Kind=${JSON.stringify(kind)}`;
    throw new Error(`expected webhook response of ${REVIEW_VERSION}, Kind=AdmissionReview, got ${got}`);
  }
  const { response } = answer;
  if (!isJsonObject(response)) throw new Error('webhook response was absent');
  if (response['uid'] !== uid) {
    throw new Error(`expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(response['uid'])}`);
  }
  const { allowed, status, warnings } = response;
  return {
    isAllowed: allowed === true,
    status: isJsonObject(status) ? status : {},
    patch: patchOf(response),
    warnings: Array.isArray(warnings) ? warnings.filter((warning) => typeof warning === 'string') : [],
  };
}

function patchOf({ patch, patchType }: JsonObject): unknown {
  if (patch === undefined || patch === null || patch === '') {
    if (patchType !== undefined && patchType !== null)
      throw new Error('webhook returned response.patchType but not response.patch');
    return undefined;
  }
  if (typeof patch !== 'string') throw new Error('webhook response.patch must be base64');
  if (patchType !== 'JSONPatch') {
    throw new Error(`webhook returned invalid response.patchType of ${JSON.stringify(patchType)}`);
  }
  return JSON.parse(Buffer.from(patch, 'base64').toString('utf8'));
}

/** The refusal as the client sees it. */
export function denial(webhook: string, status: JsonObject): StatusError {
  const { code, reason, message, details } = status;
  const why = typeof message === 'string' && message !== '' ? message : reason;
  const text =
    typeof why === 'string' && why !== '' ? `denied the request: ${why}` : 'denied the request without explanation';
  return new StatusError(
    typeof code === 'number' && code >= 400 && code < 600 ? code : 403,
    typeof reason === 'string' && reason !== '' ? reason : 'Forbidden',
    `admission webhook ${JSON.stringify(webhook)} ${text}`,
    isJsonObject(details) ? details : undefined,
  );
}
