import type { JsonObject, KubeObject } from './object.ts';
import type { ResourceType } from './registry.ts';
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

/** A step that may change the object. */
export type Mutator = (request: AdmissionRequest & { readonly object: JsonObject }) => Promise<JsonObject> | JsonObject;
/** A step that may refuse by throwing a StatusError. */
export type Validator = (request: AdmissionRequest) => Promise<void> | void;

/** The ordered steps every write goes through; each mutator sees what the ones before it did. */
export class Admission {
  readonly #mutators: readonly Mutator[];
  readonly #validators: readonly Validator[];

  constructor(mutators: readonly Mutator[], validators: readonly Validator[]) {
    this.#mutators = mutators;
    this.#validators = validators;
  }

  async mutate(request: AdmissionRequest & { readonly object: JsonObject }): Promise<JsonObject> {
    let { object } = request;
    for (const mutate of this.#mutators) object = await mutate({ ...request, object });
    return object;
  }

  async validate(request: AdmissionRequest): Promise<void> {
    for (const validate of this.#validators) await validate(request);
  }
}
