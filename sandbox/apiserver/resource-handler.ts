import { json, taken, type Answer, type ApiCall } from './api-call.ts';
import { deletedStatus, parseDeletion, type Deleter } from './deletion.ts';
import { checkListVersion, parseListOptions } from './list-options.ts';
import type { KubeObject } from './object.ts';
import { parsePatch } from './patches.ts';
import { negotiate } from './present/accept.ts';
import { describe, type Authorizer } from './rbac.ts';
import { isStored, type ResourceType } from './registry.ts';
import { parseBody, parseOptionalBody } from './request-body.ts';
import { parseDryRun, writeOptionsOf } from './request-options.ts';
import type { ResourceTarget } from './request-target.ts';
import { showList, showObject, viewOf, watchEncoder, type View } from './representation.ts';
import { isSelected, parseSelection, type Selection } from './selection.ts';
import { applyOnServer } from './server-side-apply.ts';
import { badRequest, forbidden, methodNotAllowed, notFound } from './status-error.ts';
import type { Store } from './store.ts';
import { fromStored, storeKey } from './stored-form.ts';
import type { SubresourceHandler } from './subresource-handler.ts';
import { WatchStream } from './watch-stream.ts';
import type { WriteOptions } from './write-options.ts';
import type { ObjectTarget, Writer } from './writer.ts';

/** Answers requests for stored resources: the verbs of kube-apiserver on objects and collections. */
export class ResourceHandler {
  readonly #store: Store;
  readonly #writer: Writer;
  readonly #deleter: Deleter;
  readonly #subresources: SubresourceHandler;
  readonly #watches = new Set<WatchStream>();
  readonly #authorizer: Authorizer;
  readonly #nowMs: () => number;

  constructor(
    store: Store,
    writer: Writer,
    deleter: Deleter,
    subresources: SubresourceHandler,
    authorizer: Authorizer,
    nowMs: () => number,
  ) {
    this.#store = store;
    this.#writer = writer;
    this.#deleter = deleter;
    this.#subresources = subresources;
    this.#authorizer = authorizer;
    this.#nowMs = nowMs;
  }

  /** Ends all watches in order. */
  closeWatches(): void {
    for (const watch of this.#watches) watch[Symbol.dispose]();
  }

  async handle(call: ApiCall, target: ResourceTarget): Promise<Answer> {
    const { type, name, subresource } = target;
    if (!isStored(type)) throw methodNotAllowed();
    if (name === undefined) return this.#collection(call, target);
    const object: ObjectTarget = { ...target, name };
    if (subresource !== undefined && subresource !== 'status') return this.#subresources.handle(call, object);
    return this.#object(call, object);
  }

  #collection(call: ApiCall, target: ResourceTarget): Promise<Answer> | Answer {
    const { type } = target;
    switch (call.method) {
      case 'GET':
      case 'HEAD':
        return this.#list(call, target);
      case 'POST':
        if (type.isNamespaced && target.namespace === undefined) throw methodNotAllowed();
        return this.#create(call, target);
      case 'DELETE':
        if (!type.verbs.includes('deletecollection')) throw methodNotAllowed();
        if (type.isNamespaced && target.namespace === undefined) throw methodNotAllowed();
        return this.#deleteCollection(call, target);
      default:
        throw methodNotAllowed();
    }
  }

  #object(call: ApiCall, target: ObjectTarget): Promise<Answer> | Answer {
    switch (call.method) {
      case 'GET':
      case 'HEAD':
        return json(200, showObject(target.type, this.#get(target), this.#view(call)));
      case 'PUT':
        return this.#update(call, target);
      case 'PATCH':
        return this.#patch(call, target);
      case 'DELETE':
        if (target.subresource !== undefined) throw methodNotAllowed();
        return this.#delete(call, target);
      default:
        throw methodNotAllowed();
    }
  }

  #get({ type, namespace, name }: ObjectTarget): KubeObject {
    const stored = this.#store.get(storeKey(type), namespace, name);
    if (stored === undefined) throw notFound(type, name);
    return fromStored(type, stored);
  }

  #list(call: ApiCall, { type, namespace }: ResourceTarget): Answer {
    const options = parseListOptions(call.query);
    const selection = parseSelection(type, namespace, call.query);
    const view = this.#view(call);
    if (options.isWatch) {
      const stream = new WatchStream(call.response, this.#store, type, selection, watchEncoder(type, view));
      this.#watches.add(stream);
      call.response.on('close', () => this.#watches.delete(stream));
      stream.start(options);
      return taken;
    }
    const key = storeKey(type);
    checkListVersion(this.#store, key, options);
    const objects = this.#selected(type, selection);
    return json(200, showList(type, objects, String(this.#store.revision), view));
  }

  #selected(type: ResourceType, selection: Selection): KubeObject[] {
    const all = this.#store.list(storeKey(type), selection.namespace).map((stored) => fromStored(type, stored));
    return all.filter((object) => isSelected(selection, object));
  }

  async #create(call: ApiCall, { type, namespace }: ResourceTarget): Promise<Answer> {
    const view = this.#view(call);
    const body = parseBody(call.body, call.headers['content-type']);
    const created = await this.#writer.create(type, namespace, body, writeOptionsOf(call));
    return json(201, showObject(type, created, view));
  }

  async #update(call: ApiCall, target: ObjectTarget): Promise<Answer> {
    const view = this.#view(call);
    this.#get(target);
    const body = parseBody(call.body, call.headers['content-type']);
    const updated = await this.#writer.update(target, body, writeOptionsOf(call));
    return json(200, showObject(target.type, updated, view));
  }

  async #patch(call: ApiCall, target: ObjectTarget): Promise<Answer> {
    const view = this.#view(call);
    const patch = parsePatch(target.type, call.body, call.headers['content-type']);
    const options = writeOptionsOf(call);
    if (patch.kind === 'apply') {
      const { object, isNew } = await applyOnServer(
        this.#store,
        this.#writer,
        target,
        patch.body,
        {
          ...options,
          fieldManager: call.query.get('fieldManager') ?? '',
          isForced: call.query.get('force') === 'true',
          demandCreate: () => this.#demandCreate(call, target),
        },
        this.#nowMs(),
      );
      return json(isNew ? 201 : 200, showObject(target.type, object, view));
    }
    if (call.query.has('force')) throw badRequest('force: Forbidden: may not be specified for non-apply patch');
    const patched = await this.#writer.patch(target, patch, options);
    return json(200, showObject(target.type, patched, view));
  }

  /** An apply may create, which the verb patch alone does not allow. */
  #demandCreate({ user }: ApiCall, { type, namespace = '' }: ObjectTarget): void {
    const attributes = {
      kind: 'resource',
      verb: 'create',
      group: type.group,
      resource: type.plural,
      subresource: '',
      namespace,
      name: '',
    } as const;
    if (!this.#authorizer.authorize(user, attributes).isAllowed) throw forbidden(type, '', describe(user, attributes));
  }

  async #delete(call: ApiCall, target: ObjectTarget): Promise<Answer> {
    const { type } = target;
    const view = this.#view(call);
    const { deletion, options } = deletionOf(call);
    const { object, isGone } = await this.#deleter.delete(target, deletion, options);
    return json(200, isGone ? deletedStatus(type, object) : showObject(type, object, view));
  }

  async #deleteCollection(call: ApiCall, { type, namespace }: ResourceTarget): Promise<Answer> {
    const view = this.#view(call);
    const { deletion, options } = deletionOf(call);
    const selection = parseSelection(type, namespace, call.query);
    const deleted: KubeObject[] = [];
    for (const { metadata } of this.#selected(type, selection)) {
      const target = { type, name: metadata.name, ...(namespace === undefined ? {} : { namespace }) };
      const { object } = await this.#deleter.delete(target, { ...deletion, uid: metadata.uid }, options);
      deleted.push(object);
    }
    return json(200, showList(type, deleted, String(this.#store.revision), view));
  }

  #view(call: ApiCall): View {
    return viewOf(negotiate(call.headers.accept), call.query, this.#nowMs());
  }
}

function deletionOf(call: ApiCall): { deletion: ReturnType<typeof parseDeletion>; options: WriteOptions } {
  const body = parseOptionalBody(call.body, call.headers['content-type']);
  const options = writeOptionsOf(call);
  const inBody = (body as { dryRun?: unknown } | undefined)?.dryRun;
  const isDryRun = options.isDryRun || parseDryRun(Array.isArray(inBody) ? inBody : []);
  return { deletion: parseDeletion(body, call.query), options: { ...options, isDryRun } };
}
