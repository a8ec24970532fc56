import { parse } from 'yaml';
import type { ApiObject } from '../cluster.ts';
import type { Manifest } from '../../control-plane/install/manifest.ts';

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

/** One field that applying a manifest would change. `undefined` stands for "absent". */
export type FieldChange = { readonly path: string; readonly from: unknown; readonly to: unknown };

/**
 * What applying a manifest would change in the object that is there. As in `kubectl diff`: fields that the manifest does not
 * name are the cluster's (defaults, status, the caBundle), unless the last manifest that was applied named them.
 */
export function fieldChanges(manifest: Manifest, live: ApiObject): readonly FieldChange[] {
  const changes: FieldChange[] = [];
  if (manifest.kind !== 'Secret') {
    compare('', manifest, live, lastApplied(live), changes);
    return changes;
  }
  compare('', encodedSecret(manifest), live, null, changes);
  return changes.map(({ path, from, to }) => ({ path, from: hidden(from), to: hidden(to) }));
}

/** As the API server stores it: `stringData` is for writing only. */
function encodedSecret({ stringData = {}, ...manifest }: Manifest): Manifest {
  const entries = Object.entries(stringData as Readonly<Record<string, string>>);
  return {
    ...manifest,
    data: Object.fromEntries(entries.map(([key, text]) => [key, Buffer.from(text).toString('base64')])),
  };
}

/** What a Secret holds is never shown, only that it changes. */
function hidden(value: unknown): string | undefined {
  return value === undefined ? undefined : '(secret)';
}

function lastApplied(live: ApiObject): unknown {
  try {
    return JSON.parse(live.metadata.annotations?.[LAST_APPLIED] ?? 'null') as unknown;
  } catch {
    return null; // somebody edited it: then nothing is known to be removed
  }
}

function compare(path: string, wanted: unknown, live: unknown, applied: unknown, changes: FieldChange[]): void {
  if (Array.isArray(wanted) && Array.isArray(live)) return compareLists(path, wanted, live, applied, changes);
  if (isText(wanted) && isText(live) && wanted !== live) {
    const [inside, insideLive] = [document(wanted), document(live)];
    if (isMap(inside) && isMap(insideLive))
      return compare(path, inside, insideLive, isText(applied) ? document(applied) : null, changes);
  }
  if (!isMap(wanted) || !isMap(live)) {
    if (wanted !== live && JSON.stringify(wanted) !== JSON.stringify(live))
      changes.push({ path, from: live, to: wanted });
    return;
  }
  for (const [key, value] of Object.entries(wanted)) {
    const below = joined(path, key);
    if (Object.hasOwn(live, key)) compare(below, value, live[key], isMap(applied) ? applied[key] : null, changes);
    else changes.push({ path: below, from: undefined, to: value });
  }
  if (!isMap(applied)) return;
  for (const [key, before] of Object.entries(applied)) {
    if (Object.hasOwn(wanted, key) || !Object.hasOwn(live, key)) continue;
    const below = joined(path, key);
    // Of a map only what was applied goes. kubectl notes empty annotations where a manifest has none.
    if (isMap(before) && isMap(live[key])) compare(below, {}, live[key], before, changes);
    else changes.push({ path: below, from: live[key], to: undefined });
  }
}

/** Lists whose items have a name or type are compared by it, as the API merges them; others item by item. */
function compareLists(
  path: string,
  wanted: readonly unknown[],
  live: readonly unknown[],
  applied: unknown,
  changes: FieldChange[],
): void {
  const before = Array.isArray(applied) ? applied : [];
  const names = wanted.map(nameOf);
  if (wanted.length > 0 && names.every((name) => name !== undefined)) {
    for (const [index, item] of wanted.entries()) {
      const same = (other: unknown): boolean => nameOf(other) === names[index];
      const found = live.find(same);
      const below = `${path}[${names[index]}]`;
      if (found === undefined) changes.push({ path: below, from: undefined, to: item });
      else compare(below, item, found, before.find(same), changes);
    }
    for (const item of live) {
      const name = nameOf(item);
      if (name !== undefined && !names.includes(name))
        changes.push({ path: `${path}[${name}]`, from: item, to: undefined });
    }
    return;
  }
  if (wanted.length !== live.length) {
    changes.push({ path, from: live, to: wanted });
    return;
  }
  for (const [index, item] of wanted.entries()) compare(`${path}[${index}]`, item, live[index], before[index], changes);
}

/** A text of several lines, which in a ConfigMap is a document of its own. */
function isText(value: unknown): value is string {
  return typeof value === 'string' && value.includes('\n');
}

function document(text: string): unknown {
  try {
    return parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function nameOf(item: unknown): string | undefined {
  return isMap(item) && typeof item['name'] === 'string' ? item['name'] : undefined;
}

function joined(path: string, key: string): string {
  const part = /^[\w-]+$/.test(key) ? key : `"${key}"`;
  return path === '' ? part : `${path}.${part}`;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const MAX_SHOWN = 60;

/** `spec.replicas: 1 -> 3`, on one line whatever the values are. */
export function formatChange({ path, from, to }: FieldChange): string {
  const [before, after] = [shown(from), shown(to)];
  if (before === after) return `${path}: changed inside`;
  if (from === undefined) return `${path}: ${after} (new)`;
  return to === undefined ? `${path}: ${before} (removed)` : `${path}: ${before} -> ${after}`;
}

function shown(value: unknown): string {
  if (value === undefined) return '(absent)';
  const text = typeof value === 'string' && /^[\w./:,@=-]+$/.test(value) ? value : JSON.stringify(value);
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}...` : text;
}
