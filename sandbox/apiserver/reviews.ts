import { AccessReviews } from './access-reviews.ts';
import { json, type Answer, type ApiCall } from './api-call.ts';
import { isJsonObject, type JsonObject } from './object.ts';
import { metadataOf } from './object-meta.ts';
import { decodeObject } from './object-rules.ts';
import type { Authorizer } from './rbac.ts';
import { apiVersionOf } from './registry.ts';
import { parseBody } from './request-body.ts';
import type { ResourceTarget } from './request-target.ts';
import { writeOptionsOf } from './request-options.ts';
import type { ServiceAccountTokens } from './service-account-tokens.ts';
import { badRequest, methodNotAllowed, unknownResource } from './status-error.ts';
import type { User } from './user.ts';

/** Answers the kinds that are questions: they are computed, returned with 201 and not stored. */
export class ReviewHandler {
  readonly #access: AccessReviews;
  readonly #tokens: ServiceAccountTokens;

  constructor(authorizer: Authorizer, tokens: ServiceAccountTokens) {
    this.#access = new AccessReviews(authorizer);
    this.#tokens = tokens;
  }

  handle(call: ApiCall, target: ResourceTarget): Answer {
    const { type, namespace } = target;
    if (call.method !== 'POST' || target.name !== undefined) throw methodNotAllowed();
    if (type.isNamespaced && namespace === undefined) throw methodNotAllowed();
    const sent = decodeObject(type, parseBody(call.body, call.headers['content-type']), writeOptionsOf(call));
    if (sent['kind'] !== undefined && sent['kind'] !== '' && sent['kind'] !== type.kind) {
      throw badRequest(`the body is a ${JSON.stringify(sent['kind'])}, the path wants a ${type.kind}`);
    }
    const spec = isJsonObject(sent['spec']) ? sent['spec'] : {};
    const status = this.#status(type.kind, call.user, spec, namespace);
    return json(201, { kind: type.kind, apiVersion: apiVersionOf(type), metadata: metadataOf(sent), spec, status });
  }

  #status(kind: string, caller: User, spec: JsonObject, namespace: string | undefined): JsonObject {
    switch (kind) {
      case 'SelfSubjectReview':
        return { userInfo: userInfo(caller) };
      case 'TokenReview':
        return this.#reviewToken(spec);
      case 'SelfSubjectAccessReview':
        return this.#access.self(caller, spec);
      case 'SelfSubjectRulesReview':
        return this.#access.rules(caller, spec);
      case 'SubjectAccessReview':
        return this.#access.subject(spec, undefined);
      case 'LocalSubjectAccessReview':
        return this.#access.subject(spec, namespace);
      default:
        throw unknownResource();
    }
  }

  #reviewToken(spec: JsonObject): JsonObject {
    const { token, audiences } = spec;
    if (typeof token !== 'string' || token === '')
      throw badRequest('token is required for TokenReview in authentication');
    const wanted = Array.isArray(audiences) ? audiences.filter((audience) => typeof audience === 'string') : [];
    const verified = this.#tokens.verify(token, wanted);
    if (verified === undefined) return { user: {}, error: 'invalid bearer token' };
    return { authenticated: true, user: userInfo(verified.user), audiences: verified.audiences };
  }
}

export function userInfo({ username, uid, groups, extra }: User): JsonObject {
  return {
    username,
    ...(uid === undefined ? {} : { uid }),
    groups,
    ...(extra === undefined || Object.keys(extra).length === 0 ? {} : { extra }),
  };
}
