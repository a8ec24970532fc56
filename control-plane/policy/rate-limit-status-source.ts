import type { PolicyContext } from '../dialects/linkerd-policy.ts';
import { judgeRateLimit } from '../dialects/server-rate-limits.ts';
import type { PolicyStore } from './policy-store.ts';
import { policyObjects } from './status-objects.ts';
import { withCondition, type StatusSource } from './status-writer.ts';

/** The condition Accepted of HTTPLocalRateLimitPolicies. Conditions of other types are left alone. */
export function rateLimitStatusSource(policies: PolicyStore, context: PolicyContext): StatusSource {
  return {
    ...policyObjects(policies, 'HTTPLocalRateLimitPolicy'),
    statusOf(object, now) {
      const { isAccepted, reason, message } = judgeRateLimit(object, policies, context);
      const status = isAccepted ? 'True' : 'False';
      const conditions = withCondition(object, { type: 'Accepted', status, reason, message }, now);
      return { targetRef: object.spec['targetRef'], conditions };
    },
  };
}
