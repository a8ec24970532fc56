import type { PolicyContext } from '../dialects/linkerd-policy.ts';
import { judgeRateLimit } from '../dialects/server-rate-limits.ts';
import type { PolicyStore } from './policy-store.ts';
import { withCondition, type StatusSource } from './status-writer.ts';

const KIND = 'HTTPLocalRateLimitPolicy';

/** The condition Accepted of HTTPLocalRateLimitPolicies. Conditions of other types are left alone. */
export function rateLimitStatusSource(policies: PolicyStore, context: PolicyContext): StatusSource {
  return {
    keys: () => policies.keys(KIND),
    get(key) {
      const slash = key.indexOf('/');
      return policies.get(KIND, key.slice(0, slash), key.slice(slash + 1));
    },
    onChange(listener) {
      policies.onChange((namespace) => {
        for (const { name } of policies.list(KIND, namespace)) listener(`${namespace}/${name}`);
      });
    },
    statusOf(object, now) {
      const { isAccepted, reason, message } = judgeRateLimit(object, policies, context);
      const status = isAccepted ? 'True' : 'False';
      const conditions = withCondition(object, { type: 'Accepted', status, reason, message }, now);
      return { targetRef: object.spec['targetRef'], conditions };
    },
  };
}
