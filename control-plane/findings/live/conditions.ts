import type { Condition } from '../../policy/status-writer.ts';
import type { Code } from '../../diagnosis/codes.ts';
import type { Diagnosis } from '../../diagnosis/diagnosis.ts';

/** Ours, so that it carries our domain. Source: Gateway API, implementation-specific conditions. */
export const EFFECTIVE = 'tulle.dev/Effective';

/** Kubernetes takes 32 768; more than a screen does not help anybody. */
const MESSAGE_MAX = 2_048;

/** What the reference of an object leads to. */
const REFERENCES: ReadonlySet<Code> = new Set(['TL0203', 'TL0204', 'TL0205', 'TL0206', 'TL0401', 'TL0404']);
const REFUSALS: ReadonlySet<Code> = new Set(['TL0001', 'TL0403']);
const KINDS_WITH_REFERENCES: ReadonlySet<string> = new Set([
  'AuthorizationPolicy',
  'ServerAuthorization',
  'ServiceProfile',
  'TrafficSplit',
]);

/**
 * Whether everything that an object says has an effect: the reason is the code of the gravest finding, the message says what is
 * ignored and why.
 *
 * @param found  about the object, the gravest first
 */
export function effective(found: readonly Diagnosis[]): Condition {
  const [gravest] = found;
  if (gravest === undefined || gravest.severity === 'note') {
    const notes = gravest === undefined ? 'all that it says has an effect' : messageOf(found);
    return { type: EFFECTIVE, status: 'True', reason: 'Effective', message: notes };
  }
  return { type: EFFECTIVE, status: 'False', reason: gravest.code, message: messageOf(found) };
}

/** What Gateway API's routes say by themselves, for kinds of Linkerd and SMI. */
export function ownConditions(kind: string, found: readonly Diagnosis[]): readonly Condition[] {
  const refused = found.filter(({ code }) => REFUSALS.has(code));
  const accepted: Condition =
    refused.length === 0
      ? { type: 'Accepted', status: 'True', reason: 'Accepted', message: 'it is understood' }
      : { type: 'Accepted', status: 'False', reason: 'Invalid', message: messageOf(refused) };
  if (!KINDS_WITH_REFERENCES.has(kind)) return [accepted];
  const broken = found.filter(({ code }) => REFERENCES.has(code));
  const resolved: Condition =
    broken.length === 0
      ? { type: 'ResolvedRefs', status: 'True', reason: 'ResolvedRefs', message: 'all that it names is there' }
      : { type: 'ResolvedRefs', status: 'False', reason: 'RefNotFound', message: messageOf(broken) };
  return [accepted, resolved];
}

function messageOf(found: readonly Diagnosis[]): string {
  let text = '';
  for (const [index, { code, subject, message }] of found.entries()) {
    const next = `${text === '' ? '' : '; '}${code} ${subject}: ${message}`;
    if (text.length + next.length > MESSAGE_MAX)
      return text === '' ? next.slice(0, MESSAGE_MAX) : `${text}; and ${found.length - index} more`;
    text += next;
  }
  return text;
}
