import type { Metadata } from '#api/gen/meta.ts';
import type { ResourceRef } from '#model/resource-ref.ts';

export function encodeResourceRef(ref: ResourceRef): Metadata {
  if (ref.type === 'default') return { kind: { $case: 'default', value: ref.name } };
  const { group, kind, name, namespace = '', section = '', port = 0 } = ref;
  return { kind: { $case: 'resource', value: { group, kind, name, namespace, section, port } } };
}
