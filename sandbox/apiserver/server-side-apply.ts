import { notImplemented } from './status-error.ts';
import type { KubeObject } from './object.ts';
import type { Store } from './store.ts';
import type { WriteOptions } from './write-options.ts';
import type { ObjectTarget, Writer } from './writer.ts';

export type ApplyOptions = WriteOptions & { readonly isForced: boolean };

export async function applyOnServer(
  store: Store,
  writer: Writer,
  target: ObjectTarget,
  body: unknown,
  options: ApplyOptions,
): Promise<{ object: KubeObject; isNew: boolean }> {
  void [store, writer, target, body, options];
  throw notImplemented('server-side apply');
}
