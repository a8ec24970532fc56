import { asObject, asText, type JsonObject } from './json.ts';
import { keyOf } from './resources/metadata.ts';

/** What is to be done with an event of a watch. */
export type Verdict =
  | 'apply'
  | 'skip' // it is known already, or something newer is
  | 'lost'; // it cannot be told what is true now: list again

/**
 * Which version of each object an index has been told of, and how far the stream of changes has been followed. A watch
 * sends changes in the order of their versions; a server, or what is before it, that repeats or reorders them is noticed
 * here. As large as the cluster has objects of the kind: a key and a short text for each.
 */
export class HeldVersions {
  #versions = new Map<string, string>(); // by namespace/name
  #position: string | undefined;

  /** Where a watch goes on; absent: list first. */
  get position(): string | undefined {
    return this.#position;
  }

  get byKey(): ReadonlyMap<string, string> {
    return this.#versions;
  }

  reset(versions: Map<string, string>, position: string): void {
    this.#versions = versions;
    this.#position = position;
  }

  losePosition(): void {
    this.#position = undefined;
  }

  /** Follows a bookmark. An older one than what is known changes nothing. */
  advance(version: string): void {
    if (this.#position === undefined || isNewer(version, this.#position)) this.#position = version;
  }

  /** Judges a change or deletion of an object, and takes it as done unless it is skipped or the position lost. */
  take(key: string, version: string, isDeleted: boolean): Verdict {
    const verdict = this.#judge(key, version, isDeleted);
    if (verdict === 'apply') {
      if (isDeleted) this.#versions.delete(key);
      else this.#versions.set(key, version);
    }
    if (verdict !== 'lost') this.advance(version);
    return verdict;
  }

  #judge(key: string, version: string, isDeleted: boolean): Verdict {
    const isLate = this.#position !== undefined && !isNewer(version, this.#position);
    if (!isLate) return 'apply';
    const held = this.#versions.get(key);
    if (held === undefined) return isDeleted ? 'skip' : 'lost'; // it came late, or has gone meanwhile
    return isNewer(version, held) || (isDeleted && held === version) ? 'apply' : 'skip';
  }
}

/**
 * Whether a resource version is later than another: they are decimal numbers of any length. What is no such number counts as
 * news when it differs. Source: Kubernetes API concepts, "Resource versions".
 */
export function isNewer(version: string, than: string): boolean {
  if (!isDecimal(version) || !isDecimal(than)) return version !== than;
  return version.length === than.length ? version > than : version.length > than.length;
}

function isDecimal(text: string): boolean {
  return /^(0|[1-9]\d*)$/.test(text);
}

/** Key and version of an object as it came. @returns nothing when it has no name or no version */
export function versionOf(object: JsonObject): { readonly key: string; readonly version: string } | undefined {
  const { namespace, name, resourceVersion } = asObject(object['metadata']);
  const [nameText, version] = [asText(name) ?? '', asText(resourceVersion) ?? ''];
  return nameText === '' || version === '' ? undefined : { key: keyOf(asText(namespace) ?? '', nameText), version };
}
