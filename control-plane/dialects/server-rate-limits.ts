import type { CustomObject } from '#k8s/resources/custom-object.ts';
import type { RateLimit } from '#model/rate-limit.ts';
import { readServer, type PolicyContext } from './linkerd-policy.ts';
import type { PolicyObjects } from './policy-objects.ts';
import { byAge } from './precedence.ts';
import { formatProblems } from './problem.ts';
import { readRateLimitPolicy } from './rate-limit-policy.ts';
import { grpcRouteOf } from './server-routes.ts';

/** The policies that can be used and are about a Server, the one that counts first. */
export function rateLimitPolicies(
  server: { readonly namespace: string; readonly name: string },
  objects: PolicyObjects,
  context: PolicyContext,
): readonly { readonly object: CustomObject; readonly limit: RateLimit }[] {
  return objects
    .list('HTTPLocalRateLimitPolicy', server.namespace)
    .toSorted(byAge)
    .flatMap((object) => {
      const read = readRateLimitPolicy(object, context).value;
      return read?.serverName === server.name ? [{ object, limit: read.limit }] : [];
    });
}

/** What becomes of an HTTPLocalRateLimitPolicy. `reason` is that of its condition Accepted. Source: linkerd2 `policy-controller`. */
export type RateLimitVerdict = {
  readonly isAccepted: boolean;
  readonly reason: 'Accepted' | 'Invalid' | 'NoMatchingTarget' | 'RateLimitReasonAlreadyExists' | 'NotHTTP';
  readonly field: string;
  readonly message: string;
};

/** Judges an HTTPLocalRateLimitPolicy, in the order of what a user has to put right first. */
export function judgeRateLimit(object: CustomObject, objects: PolicyObjects, context: PolicyContext): RateLimitVerdict {
  const refused = (reason: RateLimitVerdict['reason'], field: string, message: string): RateLimitVerdict => ({
    isAccepted: false,
    reason,
    field,
    message,
  });
  const { value, problems } = readRateLimitPolicy(object, context);
  if (value === undefined) return refused('Invalid', 'spec', formatProblems(problems));
  const { namespace } = object;
  const name = `${namespace}/${value.serverName}`;
  const target = 'spec.targetRef';
  const server = objects.get('Server', namespace, value.serverName);
  if (server === undefined) return refused('NoMatchingTarget', target, `Server ${name} does not exist`);
  const winner = rateLimitPolicies(server, objects, context)[0]?.object;
  if (winner !== undefined && winner.name !== object.name) {
    const message = `HTTPLocalRateLimitPolicy ${namespace}/${winner.name} limits Server ${name} already, and is older or first by name`;
    return refused('RateLimitReasonAlreadyExists', target, message);
  }
  const protocol = readServer(server, context).value?.protocol;
  if (protocol === 'opaque' || protocol === 'tls') {
    return refused(
      'NotHTTP',
      target,
      `Server ${name} carries no HTTP that could be counted: its proxyProtocol is ${protocol}`,
    );
  }
  const grpcRoute = protocol === 'grpc' ? grpcRouteOf(server, objects) : undefined;
  if (grpcRoute !== undefined) {
    const message = `Server ${name} has GRPCRoutes (${grpcRoute.name}): proxies do not count the calls of these`;
    return refused('NotHTTP', target, message);
  }
  return { isAccepted: true, reason: 'Accepted', field: target, message: `in effect on Server ${name}` };
}
