/** The objects of one kind as an informer keeps them. */
export class ObjectIndex<T extends { readonly namespace: string; readonly name: string }> {
  #byKey = new Map<string, T>();

  get all(): readonly T[] {
    return [...this.#byKey.values()];
  }

  apply(object: T): void {
    this.#byKey.set(`${object.namespace}/${object.name}`, object);
  }

  delete(namespace: string, name: string): void {
    this.#byKey.delete(`${namespace}/${name}`);
  }

  reset(live: readonly T[]): void {
    this.#byKey = new Map(live.map((object) => [`${object.namespace}/${object.name}`, object]));
  }
}
