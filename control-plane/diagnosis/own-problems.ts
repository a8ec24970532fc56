import type { CustomObject } from '#k8s/resources/custom-object.ts';
import { isConnectionRoute, isRouteKind, isServerRouteKind } from '../dialects/route-kinds.ts';
import { connectionRouteProblems } from '../dialects/connection-route.ts';
import { readEgressNetwork } from '../dialects/egress-network.ts';
import { fieldsWithoutServer, serverRouteProblems } from '../dialects/inbound-route.ts';
import { compileGrpcRoute } from '../dialects/grpc-route.ts';
import { compileHttpRoute } from '../dialects/http-route.ts';
import { outboundParents } from '../dialects/outbound-parents.ts';
import type { PolicyContext } from '../dialects/linkerd-policy.ts';
import { POLICY_KINDS } from '../dialects/policy-objects.ts';
import { problemsOf } from '../dialects/policy-problems.ts';
import { annotationMistakes, isReadFrom } from '../dialects/known-annotations.ts';
import { EXTERNAL_WORKLOADS, readExternalWorkload } from '../dialects/external-workload.ts';
import type { Problem } from '../dialects/problem.ts';
import { retryWithoutCondition } from '../dialects/replaced-limits.ts';
import { compileServiceProfile } from '../dialects/service-profile.ts';
import { sessionsWithoutEffect, sharedSessions } from '../dialects/session-persistence.ts';
import { compileTrafficSplit } from '../dialects/smi.ts';
import type { Code } from './codes.ts';

/** Of targets that name none: which one does not matter here. */
const ANY_PORT = 80;

/** Something wrong with an object by itself, whatever else there is in the cluster. */
export type OwnProblem = Problem & { readonly code: Code };

/** Why an object can never work; nothing for kinds that are not judged. The webhook refuses it. */
export function refusalsOf(object: CustomObject, context: PolicyContext): readonly OwnProblem[] {
  if (object.group === 'split.smi-spec.io' && object.kind === 'TrafficSplit')
    return coded('TL0403', compileTrafficSplit(object, ANY_PORT, '').problems);
  return coded('TL0001', refusedFields(object, context));
}

function refusedFields(object: CustomObject, context: PolicyContext): readonly Problem[] {
  if (object.group === 'linkerd.io' && object.kind === 'ServiceProfile')
    return compileServiceProfile(object, ANY_PORT).problems;
  if (isServerRouteKind(object) || isConnectionRoute(object)) {
    const ofParents = outboundParents(object).flatMap(({ problem }) => problem ?? []);
    return [...ofParents, ...connectionRouteProblems(object), ...serverRouteProblems(object)];
  }
  if (object.group === 'policy.linkerd.io' && object.kind === 'EgressNetwork')
    return readEgressNetwork(object, context.clusterNetworks).problems;
  if (object.group === EXTERNAL_WORKLOADS.group && object.kind === EXTERNAL_WORKLOADS.kind)
    return readExternalWorkload(object).problems;
  const kind = POLICY_KINDS.find((name) => name === object.kind);
  return kind === undefined || object.group !== 'policy.linkerd.io' ? [] : problemsOf(kind, object, context);
}

/** Annotations of an object that nobody reads there, or that do not do what they seem to. @param kind  that has them; of what makes pods `Pod` */
export function annotationProblems(kind: string, annotations: Readonly<Record<string, string>>): readonly OwnProblem[] {
  const mistakes = annotationMistakes(annotations, kind).map((mistake): OwnProblem => ({
    code: mistake.kind === 'unknown' ? 'TL0304' : 'TL0303',
    field: `metadata.annotations[${mistake.annotation}]`,
    message: mistake.message,
  }));
  const retry = isReadFrom('retry.linkerd.io/limit', kind) ? retryWithoutCondition(annotations) : undefined;
  if (retry === undefined) return mistakes;
  return [...mistakes, { code: 'TL0307', field: `metadata.annotations[${retry.field}]`, message: retry.message }];
}

/** Fields of an object that have no effect or not what is meant, while the rest of it has. */
export function ignoredFieldsOf(object: CustomObject): readonly OwnProblem[] {
  return [...annotationProblems(object.kind, object.annotations), ...ignoredOfRoute(object)];
}

function ignoredOfRoute(object: CustomObject): readonly OwnProblem[] {
  if (!isRouteKind(object)) return [];
  const forClients = fieldsWithoutServer(object).map((field) => ({
    field,
    message: 'has no effect: all parents of the route are Servers',
  }));
  if (forClients.length > 0) return coded('TL0112', forClients);
  return [...coded('TL0113', sessionsWithoutEffect(object)), ...coded('TL0115', sharedSessions(object))];
}

/** What of a route of clients is not understood: it is admitted, as Gateway API wants it, and its status says so later. */
export function misunderstoodOf(object: CustomObject): readonly OwnProblem[] {
  if (!isServerRouteKind(object) || outboundParents(object).length === 0) return [];
  const parent = { ref: { type: 'default', name: 'parent' }, target: { kind: 'none' } } as const;
  const context = { parent, clusterDomain: '', allowsRequestHeaders: false, serviceOf: () => undefined };
  const { problems, dropped = [] } = (object.kind === 'GRPCRoute' ? compileGrpcRoute : compileHttpRoute)(
    object,
    context,
  );
  return [...coded('TL0101', problems), ...coded('TL0114', dropped)];
}

function coded(code: Code, problems: readonly Problem[]): readonly OwnProblem[] {
  return problems.map((problem) => ({ ...problem, code }));
}

/** For people: `TL0001 spec.port: "x" is no port`. */
export function formatOwnProblems(problems: readonly OwnProblem[]): string {
  return problems.map(({ code, field, message }) => `${code} ${field}: ${message}`).join('; ');
}
