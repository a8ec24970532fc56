import { applyJsonPatch } from './objects/json-patch.ts';
import { applyMergePatch } from './objects/merge-patch.ts';
import { modelOfKind } from './objects/builtin-schema.ts';
import { applyStrategicMerge } from './objects/strategic-merge.ts';
import type { JsonObject, KubeObject } from './object.ts';
import type { ResourceType } from './registry.ts';
import { jsonBody, mediaType, yamlValue } from './request-body.ts';
import { badRequest, StatusError } from './status-error.ts';

export type PatchKind = 'json' | 'merge' | 'strategic' | 'apply';
export type Patch = { readonly kind: PatchKind; readonly body: unknown };

const KINDS: Readonly<Record<string, PatchKind>> = {
  'application/json-patch+json': 'json',
  'application/merge-patch+json': 'merge',
  'application/strategic-merge-patch+json': 'strategic',
  'application/apply-patch+yaml': 'apply',
};

/** @throws StatusError 415 for a type this resource does not take, 400 for a body that cannot be decoded */
export function parsePatch(type: ResourceType, bytes: Buffer | undefined, contentType: string | undefined): Patch {
  const media = mediaType(contentType);
  const kind = Object.hasOwn(KINDS, media) ? KINDS[media] : undefined;
  if (kind === undefined || !isAccepted(type, kind)) throw refused(type, media);
  if (bytes === undefined || bytes.length === 0) throw badRequest('the request has no body');
  return { kind, body: kind === 'apply' ? yamlValue(bytes) : jsonBody(bytes).value };
}

function isAccepted(type: ResourceType, kind: PatchKind): boolean {
  return kind !== 'strategic' || type.custom === undefined;
}

function refused(type: ResourceType, media: string): StatusError {
  const accepted = Object.keys(KINDS).filter((name) => isAccepted(type, KINDS[name] ?? 'json'));
  const message = `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`;
  return new StatusError(
    415,
    'UnsupportedMediaType',
    media === '' ? `${message} (no content type was sent)` : message,
    {},
  );
}

/** The object as a patch other than server-side apply leaves it. */
export function applyPatch(type: ResourceType, current: KubeObject, patch: Patch): JsonObject {
  switch (patch.kind) {
    case 'json':
      return applyJsonPatch(current, patch.body);
    case 'merge':
      return applyMergePatch(current, patch.body);
    case 'strategic':
      return applyStrategicMerge(modelOf(type.group, type.version, type.kind), current, patch.body);
    case 'apply':
      throw new Error('server-side apply is not a plain patch');
  }
}

function modelOf(group: string, version: string, kind: string): string {
  const model = modelOfKind(group, version, kind);
  if (model === undefined) throw new Error(`no schema of ${kind} in ${group}/${version}`);
  return model;
}
