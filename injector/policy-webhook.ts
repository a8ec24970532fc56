import { isDeepStrictEqual } from 'node:util';
import { identitySuffix } from '#config/names.ts';
import { DEFAULT_INBOUND_POLICIES, type Values } from '#config/values.ts';
import { asObject, asText } from '#k8s/json.ts';
import { customKind, type CustomObject } from '#k8s/resources/custom-object.ts';
import { parseNetwork } from '#model/address.ts';
import {
  formatOwnProblems,
  ignoredFieldsOf,
  misunderstoodOf,
  refusalsOf,
} from '../control-plane/diagnosis/own-problems.ts';
import type { PolicyContext } from '../control-plane/dialects/linkerd-policy.ts';
import { ReviewError } from './webhook.ts';

/** Source: `admission.k8s.io/v1` AdmissionReview. */
export type PolicyReviewResponse = {
  readonly apiVersion: 'admission.k8s.io/v1';
  readonly kind: 'AdmissionReview';
  readonly response: {
    readonly uid: string;
    readonly allowed: boolean;
    readonly status?: { readonly code: 422; readonly reason: 'Invalid'; readonly message: string };
    readonly warnings?: readonly string[];
  };
};

const MESSAGE_MAX = 2048;
const WARNINGS_MAX = 8;
const WARNING_LENGTH_MAX = 256; // the API server cuts all of them at 4 KiB

/** What objects are read with, as the destination process reads them. */
export function policyContextOf(values: Values): PolicyContext {
  return {
    clusterNetworks: values.clusterNetworks.flatMap((text) => parseNetwork(text) ?? []),
    accessPolicies: DEFAULT_INBOUND_POLICIES,
    identitySuffix: identitySuffix(values),
  };
}

/**
 * Refuses objects that can never work, and names each field with the code of the finding and what is wrong with it. An object that was wrong already may
 * still be changed in its metadata, so that it can be labelled, finalized and deleted.
 *
 * @throws ReviewError  when the body is no AdmissionReview
 */
export function reviewPolicy(body: unknown, context: PolicyContext): PolicyReviewResponse {
  const request = asObject(asObject(body)['request']);
  const uid = asText(request['uid']);
  if (uid === undefined) throw new ReviewError('AdmissionReview: request.uid is missing or not text');
  const { group, kind } = asObject(request['kind']);
  const parse = customKind({ group: asText(group) ?? '', kind: asText(kind) ?? '', plural: '' }, 'v1').parse;
  const object = parse(request['object']);
  if (object === undefined) return answer({ uid, allowed: true });
  const old = parse(request['oldObject']);
  const problems = refusalsOf(object, context);
  if (problems.length === 0 || (old !== undefined && isDeepStrictEqual(old.spec, object.spec))) {
    const warnings = warningsOf(object);
    return answer({ uid, allowed: true, ...(warnings.length > 0 && { warnings }) });
  }
  const name = `${object.kind} ${object.namespace}/${object.name}`;
  const message = `${name} can never work: ${formatOwnProblems(problems)}`.slice(0, MESSAGE_MAX);
  return answer({ uid, allowed: false, status: { code: 422, reason: 'Invalid', message } });
}

/** What is admitted and has no effect; the API server shows it to whoever applies the object. */
function warningsOf(object: CustomObject): readonly string[] {
  return [...misunderstoodOf(object), ...ignoredFieldsOf(object)]
    .slice(0, WARNINGS_MAX)
    .map((problem) => `tulle: ${formatOwnProblems([problem])}`.slice(0, WARNING_LENGTH_MAX));
}

function answer(response: PolicyReviewResponse['response']): PolicyReviewResponse {
  return { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response };
}
