import { json, taken, type Answer, type ApiCall } from './api-call.ts';
import { bindPod } from './binding.ts';
import { parseDeletion } from './deletion.ts';
import type { Evictions } from './eviction.ts';
import { isJsonObject, type JsonObject, type KubeObject } from './object.ts';
import { applyMergePatch } from './objects/merge-patch.ts';
import { applyJsonPatch } from './objects/json-patch.ts';
import { decodeBuiltin } from './objects/strict-fields.ts';
import { timestamp } from './object-meta.ts';
import { parsePatch } from './patches.ts';
import { negotiate } from './present/accept.ts';
import { parseBody } from './request-body.ts';
import { showObject, viewOf } from './representation.ts';
import { toScale, withScale } from './scale.ts';
import type { BoundObject } from './service-account-tokens.ts';
import {
  badRequest,
  invalid,
  methodNotAllowed,
  notFound,
  notImplemented,
  unsupportedMediaType,
} from './status-error.ts';
import type { Store } from './store.ts';
import { fromStored, storeKey } from './stored-form.ts';
import type { TokenRequests } from './token-requests.ts';
import { writeOptionsOf } from './request-options.ts';
import type { ObjectTarget, Writer } from './writer.ts';

const TOKEN_SECONDS_DEFAULT = 3600;
const TOKEN_SECONDS_MIN = 600;
const SCALE = { group: 'autoscaling', version: 'v1', kind: 'Scale' };
const EVICTION = { group: 'policy', version: 'v1', kind: 'Eviction' };
const TOKEN_REQUEST = { group: 'authentication.k8s.io', version: 'v1', kind: 'TokenRequest' };
const BINDING = { group: '', version: 'v1', kind: 'Binding' };

/** Sends the log of a pod to a response, or throws a StatusError before the first byte. */
export type LogSource = (pod: KubeObject, call: ApiCall) => void;

export type SubresourceParts = {
  readonly store: Store;
  readonly writer: Writer;
  readonly evictions: Evictions;
  readonly tokens: TokenRequests;
  readonly sendLog: LogSource | undefined; // absent without a node
  readonly nowMs: () => number;
};

/** Answers the subresources other than status. */
export class SubresourceHandler {
  readonly #parts: SubresourceParts;

  constructor(parts: SubresourceParts) {
    this.#parts = parts;
  }

  async handle(call: ApiCall, target: ObjectTarget): Promise<Answer> {
    switch (target.subresource) {
      case 'scale':
        return this.#scale(call, target);
      case 'finalize':
        return this.#finalize(call, target);
      case 'token':
        return this.#token(call, target);
      case 'binding':
        return this.#bind(call, target);
      case 'eviction':
        return this.#evict(call, target);
      case 'log':
        return this.#log(call, target);
      case 'exec':
      case 'attach':
      case 'portforward':
        if (call.method !== 'GET' && call.method !== 'POST') throw methodNotAllowed();
        this.#get(target);
        throw badRequest('Upgrade request required');
      default:
        throw notImplemented(`the subresource ${target.subresource}`);
    }
  }

  #get({ type, namespace, name }: ObjectTarget): KubeObject {
    const stored = this.#parts.store.get(storeKey(type), namespace, name);
    if (stored === undefined) throw notFound(type, name);
    return fromStored(type, stored);
  }

  async #scale(call: ApiCall, target: ObjectTarget): Promise<Answer> {
    const { type } = target;
    if (call.method === 'GET') return json(200, toScale(type, this.#get(target)));
    const { writer } = this.#parts;
    if (call.method === 'PUT') {
      const { value } = parseBody(call.body, call.headers['content-type']);
      const scale = decoded(SCALE, value);
      const updated = await writer.revise(target, (current) => withScale(type, current, scale), writeOptionsOf(call));
      return json(200, toScale(type, updated));
    }
    if (call.method !== 'PATCH') throw methodNotAllowed();
    const patch = parsePatch(type, call.body, call.headers['content-type']);
    const change = (current: KubeObject): JsonObject => {
      switch (patch.kind) {
        case 'json':
          return applyJsonPatch(toScale(type, current), patch.body);
        case 'merge':
        case 'strategic': // a Scale has no lists, so both mean the same
          return applyMergePatch(toScale(type, current), patch.body);
        case 'apply':
          throw unsupportedMediaType('application/apply-patch+yaml', ['application/merge-patch+json']);
      }
    };
    const revise = (current: KubeObject): JsonObject => withScale(type, current, decoded(SCALE, change(current)));
    return json(200, toScale(type, await writer.revise(target, revise, writeOptionsOf(call))));
  }

  async #finalize(call: ApiCall, target: ObjectTarget): Promise<Answer> {
    if (call.method !== 'PUT') throw methodNotAllowed();
    const view = viewOf(negotiate(call.headers.accept), call.query, this.#parts.nowMs());
    this.#get(target);
    const body = parseBody(call.body, call.headers['content-type']);
    return json(
      200,
      showObject(target.type, await this.#parts.writer.update(target, body, writeOptionsOf(call)), view),
    );
  }

  #token(call: ApiCall, { namespace = '', name }: ObjectTarget): Answer {
    const sent = this.#posted(call, TOKEN_REQUEST);
    const spec = isJsonObject(sent['spec']) ? sent['spec'] : {};
    const { audiences, expirationSeconds, boundObjectRef } = spec;
    const seconds = typeof expirationSeconds === 'number' ? expirationSeconds : TOKEN_SECONDS_DEFAULT;
    if (seconds < TOKEN_SECONDS_MIN) {
      const message = `Invalid value: ${seconds}: may not specify a duration less than 10 minutes`;
      throw invalid({ group: 'authentication.k8s.io', plural: 'tokenrequests', kind: 'TokenRequest' }, '', [
        { reason: 'FieldValueInvalid', message, field: 'spec.expirationSeconds' },
      ]);
    }
    const bound = boundObject(boundObjectRef);
    const order = {
      audiences: Array.isArray(audiences) ? audiences.filter((audience) => typeof audience === 'string') : [],
      expirationSeconds: seconds,
      ...(bound === undefined ? {} : { bound }),
    };
    const status = this.#parts.tokens.issue(namespace, name, order);
    return json(201, {
      kind: 'TokenRequest',
      apiVersion: 'authentication.k8s.io/v1',
      metadata: { name, namespace, creationTimestamp: timestamp(this.#parts.nowMs()) },
      spec: { ...spec, audiences: order.audiences, expirationSeconds: seconds, boundObjectRef: boundObjectRef ?? null },
      status,
    });
  }

  async #bind(call: ApiCall, target: ObjectTarget): Promise<Answer> {
    const binding = this.#posted(call, BINDING);
    this.#get(target);
    await bindPod(this.#parts.writer, target, binding, writeOptionsOf(call));
    return json(201, success());
  }

  async #evict(call: ApiCall, target: ObjectTarget): Promise<Answer> {
    const eviction = this.#posted(call, EVICTION);
    const { deleteOptions } = eviction;
    const deletion = parseDeletion(deleteOptions, new URLSearchParams());
    await this.#parts.evictions.evict(target, deletion, writeOptionsOf(call));
    return json(201, success());
  }

  #log(call: ApiCall, target: ObjectTarget): Answer {
    if (call.method !== 'GET') throw methodNotAllowed();
    const pod = this.#get(target);
    const { sendLog } = this.#parts;
    if (sendLog === undefined) throw notImplemented('the log of pods without a node');
    sendLog(pod, call);
    return taken;
  }

  #posted(call: ApiCall, kind: TypeName): JsonObject {
    if (call.method !== 'POST') throw methodNotAllowed();
    return decoded(kind, parseBody(call.body, call.headers['content-type']).value);
  }
}

type TypeName = { readonly group: string; readonly version: string; readonly kind: string };

function decoded(kind: TypeName, value: unknown): JsonObject {
  return decodeBuiltin(kind, value).object;
}

function boundObject(reference: unknown): BoundObject | undefined {
  if (!isJsonObject(reference)) return undefined;
  const { kind, name, uid } = reference;
  if (kind !== 'Pod' && kind !== 'Secret') {
    throw badRequest(`cannot bind token to object of kind ${JSON.stringify(kind)}: only Pod and Secret are supported`);
  }
  return { kind, name: typeof name === 'string' ? name : '', uid: typeof uid === 'string' ? uid : '' };
}

function success(): JsonObject {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 };
}
