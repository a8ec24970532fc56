import type { Metadata } from '#api/gen/meta.ts';
import type { ResourceRef } from '#model/resource-ref.ts';
import { DecodeError } from './decode-error.ts';

export function decodeResourceRef(message: Metadata | undefined, field: string): ResourceRef {
  const kind = message?.kind;
  if (kind === undefined) throw new DecodeError(field, 'missing');
  if (kind.$case === 'default') return { type: 'default', name: kind.value };
  const { group, kind: resourceKind, name, namespace, section, port } = kind.value;
  if (name === '') throw new DecodeError(`${field}.resource.name`, 'empty');
  return {
    type: 'resource',
    group,
    kind: resourceKind,
    name,
    ...(namespace !== '' && { namespace }),
    ...(section !== '' && { section }),
    ...(port !== 0 && { port }),
  };
}
