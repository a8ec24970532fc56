/** What became of one test of h2spec. */
export type Outcome = {
  /** Section and text. */
  readonly title: string;
  /** What was expected and what was seen; absent: passed. */
  readonly failure: string | undefined;
};

/** Reads the JUnit report that h2spec writes: test cases with attributes and at most one failure each, nothing nested. */
export function readReport(xml: string): readonly Outcome[] {
  return [...xml.matchAll(/<testcase\b([^>]*?)(?:\/>|>(.*?)<\/testcase>)/gs)].map(([, attributes = '', inner = '']) => {
    const attribute = (name: string): string => text(new RegExp(`\\b${name}="([^"]*)"`).exec(attributes)?.[1] ?? '');
    const failure = /<(?:failure|error)\b[^>]*>(.*?)<\/(?:failure|error)>/s.exec(inner)?.[1];
    return {
      title: `${attribute('package')}: ${attribute('classname')}`,
      failure: failure === undefined ? undefined : text(failure).replace(/\s+/g, ' ').trim(),
    };
  });
}

function text(escaped: string): string {
  return escaped.replace(/&(?:#x?([0-9A-Fa-f]+)|(\w+));/g, (_all, code: string | undefined, name: string) => {
    if (code !== undefined) return String.fromCodePoint(Number.parseInt(code, _all.startsWith('&#x') ? 16 : 10));
    return ({ lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" } as Record<string, string>)[name] ?? name;
  });
}
