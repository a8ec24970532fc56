import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from '#runtime/log.ts';
import type { AdmissionRequest } from './admission.ts';
import type { JsonObject } from './object.ts';
import { applyJsonPatch } from './objects/json-patch.ts';
import { decodeObject, withDefaults } from './object-rules.ts';
import { apiVersionOf, type Registry, type ResourceType } from './registry.ts';
import { badRequest, internalError, StatusError } from './status-error.ts';
import type { Store } from './store.ts';
import { callWebhook, type ResolveService } from './webhook-call.ts';
import { webhooksOf, type Webhook } from './webhook-configuration.ts';
import { holdsConditions } from './webhook-conditions.ts';
import { matchWebhook } from './webhook-match.ts';
import { denial, reviewOf, verdictOf, type Verdict } from './webhook-review.ts';

/** Subresources whose writes are not objects of their own here and are not put before webhooks. */
const UNSEEN_SUBRESOURCES = ['binding'];

/** What the mutating webhooks have done to one request so far; tells who has to look again. */
export type Invocations = Map<string, JsonObject>; // webhook id -> the object as it left it

/** Calls the admission webhooks that the configuration objects in the store register. */
export class Webhooks {
  readonly #store: Store;
  readonly #registry: Registry;
  readonly #resolve: ResolveService;
  readonly #log: Logger;

  constructor(store: Store, registry: Registry, resolve: ResolveService, log: Logger) {
    this.#store = store;
    this.#registry = registry;
    this.#resolve = resolve;
    this.#log = log;
  }

  /** One round of mutating webhooks, each seeing what the ones before it did. */
  async mutate(
    request: AdmissionRequest & { readonly object: JsonObject },
    invocations: Invocations,
  ): Promise<JsonObject> {
    let { object } = request;
    if (isUnseen(request)) return object;
    const isSecondRound = invocations.size > 0;
    for (const webhook of webhooksOf(this.#store, 'mutating')) {
      const seen = invocations.get(webhook.id);
      if (isSecondRound && (seen === undefined || !webhook.mayBeReinvoked || isDeepStrictEqual(seen, object))) continue;
      const current = { ...request, object };
      const matched = this.#match(webhook, current);
      if (matched === undefined) continue;
      const verdict = await this.#ask(webhook, current, matched);
      if (verdict?.patch !== undefined) object = patched(request.type, matched, object, verdict.patch, request);
      invocations.set(webhook.id, object);
    }
    return object;
  }

  /** Mutating webhooks for a deletion: they may refuse, there is nothing to change. */
  async reviewDeletion(request: AdmissionRequest): Promise<void> {
    for (const webhook of webhooksOf(this.#store, 'mutating')) {
      const matched = this.#match(webhook, request);
      if (matched === undefined) continue;
      const verdict = await this.#ask(webhook, request, matched);
      if (verdict?.patch === undefined) continue;
      throw internalError(
        `admission webhook ${JSON.stringify(webhook.name)} attempted to modify the object, which is not supported for this operation`,
      );
    }
  }

  /** All validating webhooks at once; the first refusal in their order is the answer. */
  async validate(request: AdmissionRequest): Promise<void> {
    if (isUnseen(request)) return;
    const results = await Promise.allSettled(
      webhooksOf(this.#store, 'validating').map(async (webhook) => {
        const matched = this.#match(webhook, request);
        if (matched !== undefined) await this.#ask(webhook, request, matched);
      }),
    );
    const refused = results.find((result) => result.status === 'rejected');
    if (refused !== undefined) throw refused.reason;
  }

  /** @returns undefined when the webhook is not to be asked */
  #match(webhook: Webhook, request: AdmissionRequest): ResourceType | undefined {
    const matched = matchWebhook(webhook, request, this.#registry, this.#store);
    if (matched === undefined) return undefined;
    try {
      return holdsConditions(webhook, request, matched) ? matched : undefined;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#log.warn({ webhook: webhook.name, isFailureIgnored: webhook.isFailureIgnored, why }, 'webhook not matched');
      if (webhook.isFailureIgnored) return undefined;
      throw internalError(`failed to match webhook ${JSON.stringify(webhook.name)}: ${why}`, error);
    }
  }

  /** @returns undefined when the webhook could not be asked and that is to be ignored */
  async #ask(webhook: Webhook, request: AdmissionRequest, matched: ResourceType): Promise<Verdict | undefined> {
    if (request.options.isDryRun && !webhook.allowsDryRun) {
      throw badRequest(`admission webhook ${JSON.stringify(webhook.name)} does not support dry run`);
    }
    const uid = randomUUID();
    let verdict;
    try {
      const answer = await callWebhook(webhook, reviewOf(request, matched, uid), this.#resolve);
      verdict = verdictOf(answer, uid);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const message = `failed calling webhook ${JSON.stringify(webhook.name)}: failed to call webhook: ${why}`;
      this.#log.warn({ webhook: webhook.name, isFailureIgnored: webhook.isFailureIgnored, why }, 'webhook call failed');
      if (webhook.isFailureIgnored) return undefined;
      throw internalError(message, error);
    }
    for (const warning of verdict.warnings) request.options.warn(warning);
    if (!verdict.isAllowed) throw denial(webhook.name, verdict.status);
    return verdict;
  }
}

function isUnseen({ subresource }: AdmissionRequest): boolean {
  return subresource !== undefined && UNSEEN_SUBRESOURCES.includes(subresource);
}

/** The object with the webhook's patch, read again as its kind: what does not belong there falls away, defaults come. */
function patched(
  type: ResourceType,
  matched: ResourceType,
  object: JsonObject,
  patch: unknown,
  { options, subresource }: AdmissionRequest,
): JsonObject {
  if (subresource === 'scale') return object;
  try {
    const shown = { ...object, apiVersion: apiVersionOf(matched), kind: type.kind };
    const changed = { ...applyJsonPatch(shown, patch), apiVersion: apiVersionOf(type) };
    return withDefaults(type, decodeObject(type, { value: changed }, { ...options, fieldValidation: 'Ignore' }));
  } catch (error) {
    const why = error instanceof StatusError || error instanceof Error ? error.message : String(error);
    throw internalError(`the patch of a webhook does not apply: ${why}`, error);
  }
}
