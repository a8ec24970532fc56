/** Problems of one document that are reported at most; the rest repeats the pattern. */
export const maxProblems = 100;

/** An object being read (keys seen, the key whose value comes next) or an array (index of the next item). */
type Open = { readonly keys: Set<string> | undefined; name: string; index: number; expectsKey: boolean };

/**
 * Paths of keys that occur twice in one object, such as `spec.ports[0].port`: `JSON.parse` silently keeps the last.
 *
 * @param text  valid JSON; anything else gives a meaningless answer
 */
export function duplicateFields(text: string): readonly string[] {
  const open: Open[] = [];
  const found = new Set<string>();
  for (const [token] of text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],]/gs)) {
    const at = open.at(-1);
    if (token === '{') open.push({ keys: new Set(), name: '', index: 0, expectsKey: true });
    else if (token === '[') open.push({ keys: undefined, name: '', index: 0, expectsKey: false });
    else if (token === '}' || token === ']') open.pop();
    else if (at === undefined) break;
    else if (token === ',') {
      at.index += 1;
      at.expectsKey = at.keys !== undefined;
    } else if (at.expectsKey) {
      at.name = String(JSON.parse(token));
      at.expectsKey = false;
      if (at.keys?.has(at.name)) found.add(pathOf(open));
      at.keys?.add(at.name);
      if (found.size >= maxProblems) break;
    }
  }
  return [...found];
}

function pathOf(open: readonly Open[]): string {
  return open
    .map((at) => (at.keys === undefined ? `[${at.index}]` : `.${at.name}`))
    .join('')
    .slice(1);
}
