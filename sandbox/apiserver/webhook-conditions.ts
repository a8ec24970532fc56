import type { AdmissionRequest } from './admission.ts';
import { evaluate } from './objects/cel/evaluate.ts';
import { parseExpression } from './objects/cel/parser.ts';
import { fromJson } from './objects/cel/values.ts';
import { isJsonObject } from './object.ts';
import type { ResourceType } from './registry.ts';
import type { Webhook } from './webhook-configuration.ts';
import { reviewOf } from './webhook-review.ts';

/**
 * Do the match conditions of a webhook hold? One that is false decides, whatever fails beside it.
 *
 * @throws Error when none is false but one has no value
 */
export function holdsConditions(webhook: Webhook, request: AdmissionRequest, matched: ResourceType): boolean {
  if (webhook.matchConditions.length === 0) return true;
  const review = reviewOf(request, matched, '')['request'];
  const shown = isJsonObject(review) ? review : {};
  const variables = new Map([
    ['request', fromJson(shown, undefined)],
    ['object', fromJson(shown['object'] ?? null, undefined)],
    ['oldObject', fromJson(shown['oldObject'] ?? null, undefined)],
  ]);
  const failures: string[] = [];
  for (const { name, expression } of webhook.matchConditions) {
    try {
      const value = evaluate(parseExpression(expression), variables);
      if (value === false) return false;
      if (value !== true) failures.push(`${JSON.stringify(name)} is not a boolean`);
    } catch (error) {
      failures.push(`${JSON.stringify(name)}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (failures.length > 0) throw new Error(`match condition ${failures.join(', ')}`);
  return true;
}
