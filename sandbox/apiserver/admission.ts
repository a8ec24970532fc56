import { isDeepStrictEqual } from 'node:util';
import type { JsonObject, KubeObject } from './object.ts';
import type { ResourceType } from './registry.ts';
import type { Invocations, Webhooks } from './webhooks.ts';
import type { Operation, WriteOptions } from './write-options.ts';

/** One write on its way into the store. `object` is absent for DELETE, `current` for CREATE. */
export type AdmissionRequest = {
  readonly operation: Operation;
  readonly type: ResourceType;
  readonly subresource?: string;
  readonly namespace?: string;
  readonly name: string; // '' while a generated name is not made yet
  readonly object?: JsonObject;
  readonly current?: KubeObject;
  readonly options: WriteOptions;
};

export type MutatingRequest = AdmissionRequest & { readonly object: JsonObject };

/** A built-in step that may change the object. Doing it twice is doing it once. */
export type Mutator = (request: MutatingRequest) => JsonObject;
/** A built-in step that may refuse by throwing a StatusError. */
export type Validator = (request: AdmissionRequest) => void;

/** The steps every write goes through: built-in changes, mutating webhooks, and after validation built-in checks and validating webhooks. */
export class Admission {
  readonly #mutators: readonly Mutator[];
  readonly #validators: readonly Validator[];
  readonly #webhooks: Webhooks;

  constructor(mutators: readonly Mutator[], validators: readonly Validator[], webhooks: Webhooks) {
    this.#mutators = mutators;
    this.#validators = validators;
    this.#webhooks = webhooks;
  }

  /** When webhooks changed anything, everybody gets a second look: a container added by one needs its token volume too. */
  async mutate(request: MutatingRequest): Promise<JsonObject> {
    const invocations: Invocations = new Map();
    const prepared = this.#builtIn(request);
    const changed = await this.#webhooks.mutate({ ...request, object: prepared }, invocations);
    if (invocations.size === 0 || isDeepStrictEqual(changed, prepared)) return changed;
    const again = this.#builtIn({ ...request, object: changed });
    return this.#webhooks.mutate({ ...request, object: again }, invocations);
  }

  async validate(request: AdmissionRequest): Promise<void> {
    for (const validate of this.#validators) validate(request);
    await this.#webhooks.validate(request);
  }

  async reviewDeletion(request: AdmissionRequest): Promise<void> {
    await this.#webhooks.reviewDeletion(request);
    await this.validate(request);
  }

  #builtIn(request: MutatingRequest): JsonObject {
    let { object } = request;
    for (const mutate of this.#mutators) object = mutate({ ...request, object });
    return object;
  }
}
