import type { DeleteOptions, LocalClient } from '../apiserver/local-client.ts';
import type { AnyObject, Kinds, Metadata, Resource } from './resources.ts';

/** An object to create: the server fills in the rest of the metadata. */
export type Draft<Object> = Omit<Object, 'metadata' | 'status'> & { readonly metadata: Partial<Metadata> };

/** `LocalClient` for the built-in kinds, with the fields controllers know. The objects are shared: never mutate them. */
export interface TypedClient {
  get<R extends Resource>(resource: R, namespace: string | undefined, name: string): Kinds[R] | undefined;
  list<R extends Resource>(resource: R, namespace?: string): readonly Kinds[R][];
  create<R extends Resource>(resource: R, object: Draft<Kinds[R]>): Promise<Kinds[R]>;
  update<R extends Resource>(resource: R, object: Kinds[R], subresource?: 'status' | 'finalize'): Promise<Kinds[R]>;
  delete(resource: Resource, namespace: string | undefined, name: string, options?: DeleteOptions): Promise<void>;
  watch<R extends Resource>(
    resource: R,
    handler: { apply(object: Kinds[R], old?: Kinds[R]): void; delete(object: Kinds[R]): void },
  ): Disposable;
  event(involved: AnyObject, type: 'Normal' | 'Warning', reason: string, message: string, source: string): void;
}

/** The same client under narrower types; the server validated what it stores, so nothing is checked again. */
export function typedClient(client: LocalClient): TypedClient {
  return client as unknown as TypedClient;
}
