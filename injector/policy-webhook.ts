import { isDeepStrictEqual } from 'node:util';
import { identitySuffix } from '#config/names.ts';
import { DEFAULT_INBOUND_POLICIES, type Values } from '#config/values.ts';
import { asObject, asText } from '#k8s/json.ts';
import { customKind, type CustomObject } from '#k8s/resources/custom-object.ts';
import { parseNetwork } from '#model/address.ts';
import {
  fieldsWithoutServer,
  isServerRouteKind,
  serverRouteProblems,
} from '../control-plane/dialects/inbound-route.ts';
import type { PolicyContext } from '../control-plane/dialects/linkerd-policy.ts';
import { POLICY_KINDS, problemsOf } from '../control-plane/dialects/linkerd-servers.ts';
import { formatProblems, type Problem } from '../control-plane/dialects/problem.ts';
import { compileServiceProfile } from '../control-plane/dialects/service-profile.ts';
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
const ANY_PORT = 80; // of targets that name none: which one does not matter here

/** What objects are read with, as the destination process reads them. */
export function policyContextOf(values: Values): PolicyContext {
  return {
    clusterNetworks: values.clusterNetworks.flatMap((text) => parseNetwork(text) ?? []),
    accessPolicies: DEFAULT_INBOUND_POLICIES,
    identitySuffix: identitySuffix(values),
  };
}

/**
 * Refuses objects that can never work, and names each field and what is wrong with it. An object that was wrong already may
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
  const problems = problemsOfObject(object, context);
  if (problems.length === 0 || (old !== undefined && isDeepStrictEqual(old.spec, object.spec))) {
    const warnings = warningsOf(object);
    return answer({ uid, allowed: true, ...(warnings.length > 0 && { warnings }) });
  }
  const name = `${object.kind} ${object.namespace}/${object.name}`;
  const message = `${name} can never work: ${formatProblems(problems)}`.slice(0, MESSAGE_MAX);
  return answer({ uid, allowed: false, status: { code: 422, reason: 'Invalid', message } });
}

/** Everything in an object that is wrong whatever else there is in the cluster; nothing for kinds that are not judged. */
export function problemsOfObject(object: CustomObject, context: PolicyContext): readonly Problem[] {
  if (object.group === 'linkerd.io' && object.kind === 'ServiceProfile')
    return compileServiceProfile(object, ANY_PORT).problems;
  if (isServerRouteKind(object)) return serverRouteProblems(object);
  const kind = POLICY_KINDS.find((name) => name === object.kind);
  return kind === undefined || object.group !== 'policy.linkerd.io' ? [] : problemsOf(kind, object, context);
}

function warningsOf(object: CustomObject): readonly string[] {
  if (!isServerRouteKind(object)) return [];
  return fieldsWithoutServer(object)
    .slice(0, WARNINGS_MAX)
    .map((field) => `tulle: ${field} has no effect: all parents of the route are Servers`);
}

function answer(response: PolicyReviewResponse['response']): PolicyReviewResponse {
  return { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response };
}
