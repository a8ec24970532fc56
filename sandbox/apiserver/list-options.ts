import { badRequest, expired, StatusError, versionTooLarge } from './status-error.ts';
import type { Store } from './store.ts';

/** Parameters of list and watch that are not selectors. Source: meta.k8s.io/v1 `ListOptions`. */
export type ListOptions = {
  readonly resourceVersion: number | undefined; // undefined: the latest; 0: any
  readonly versionMatch: 'Exact' | 'NotOlderThan' | undefined;
  readonly isWatch: boolean;
  readonly hasBookmarks: boolean;
  readonly sendsInitialEvents: boolean | undefined;
  readonly timeoutMs: number | undefined;
};

/** Authorization and handler must read this parameter alike, or a watch could pass as a list. */
export function isWatchRequest(query: URLSearchParams): boolean {
  return isTrue(query, 'watch') ?? false;
}

/** @throws StatusError 400 or 422 on values that make no sense, alone or together */
export function parseListOptions(query: URLSearchParams): ListOptions {
  const isWatch = isWatchRequest(query);
  const options: ListOptions = {
    resourceVersion: parseVersion(query.get('resourceVersion') ?? ''),
    versionMatch: parseMatch(query.get('resourceVersionMatch') ?? ''),
    isWatch,
    hasBookmarks: isTrue(query, 'allowWatchBookmarks') ?? false,
    sendsInitialEvents: isTrue(query, 'sendInitialEvents'),
    timeoutMs: parseTimeout(query.get('timeoutSeconds')),
  };
  const { versionMatch, sendsInitialEvents } = options;
  if (sendsInitialEvents !== undefined && versionMatch !== 'NotOlderThan') {
    const detail = 'Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan';
    throw invalidOptions('resourceVersionMatch', detail);
  }
  if (sendsInitialEvents !== undefined && !isWatch) {
    throw invalidOptions('sendInitialEvents', 'Forbidden: sendInitialEvents is forbidden for list');
  }
  if (versionMatch !== undefined && sendsInitialEvents === undefined) {
    if (isWatch) throw invalidOptions('resourceVersionMatch', 'Forbidden: resourceVersionMatch is forbidden for watch');
    if (options.resourceVersion === undefined) {
      throw invalidOptions(
        'resourceVersionMatch',
        'Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided',
      );
    }
    if (versionMatch === 'Exact' && options.resourceVersion === 0) {
      const detail = 'Forbidden: resourceVersionMatch "Exact" is forbidden for resourceVersion "0"';
      throw invalidOptions('resourceVersionMatch', detail);
    }
  }
  // Pages are never handed out: a list always holds everything, so no token can be ours.
  if ((query.get('continue') ?? '') !== '') throw badRequest('continue key is not valid: this server made no such key');
  return options;
}

/** @throws StatusError 504 for a version of the future, 410 for an exact one that is past */
export function checkListVersion(store: Store, key: string, options: ListOptions): void {
  const { resourceVersion, versionMatch } = options;
  if (resourceVersion === undefined || resourceVersion === 0) return;
  if (resourceVersion > store.revision) throw versionTooLarge(String(resourceVersion), String(store.revision));
  if (versionMatch === 'Exact' && store.since(key, resourceVersion)?.length !== 0) {
    throw expired('The resourceVersion for the provided list is too old.');
  }
}

function invalidOptions(field: string, detail: string): StatusError {
  const message = `ListOptions.meta.k8s.io "" is invalid: ${field}: ${detail}`;
  return new StatusError(422, 'Invalid', message, {
    group: 'meta.k8s.io',
    kind: 'ListOptions',
    causes: [{ reason: 'FieldValueForbidden', message: detail, field }],
  });
}

/** A boolean parameter as Go reads it: present without a value is true. */
function isTrue(query: URLSearchParams, name: string): boolean | undefined {
  const value = query.get(name);
  if (value === null) return undefined;
  return value.toLowerCase() !== 'false' && value !== '0';
}

function parseVersion(text: string): number | undefined {
  if (text === '') return undefined;
  const version = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(version)) {
    const message = `Invalid value: ${JSON.stringify(text)}: strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`;
    throw badRequest(`resourceVersion: ${message}`);
  }
  return version;
}

function parseMatch(text: string): ListOptions['versionMatch'] {
  if (text === '') return undefined;
  if (text === 'Exact' || text === 'NotOlderThan') return text;
  const detail = `Unsupported value: ${JSON.stringify(text)}: supported values: "Exact", "NotOlderThan"`;
  throw invalidOptions('resourceVersionMatch', detail);
}

function parseTimeout(text: string | null): number | undefined {
  if (text === null || text === '') return undefined;
  const seconds = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(seconds)) {
    throw badRequest(`timeoutSeconds: strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  }
  return seconds === 0 ? undefined : seconds * 1000;
}
