import { semanticText } from './json.ts';
import type { PodTemplate } from './resources.ts';

/** No vowels and no look-alike digits, so that a hash never spells a word. Source: apimachinery `util/rand`. */
const SAFE = 'bcdfghjklmnpqrstvwxz2456789';

/** FNV-1a, 32 bit. */
function fnv32(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

function safeEncode(text: string): string {
  return [...Buffer.from(text)].map((byte) => SAFE[byte % SAFE.length]).join('');
}

/** 1 to 10 safe characters that depend on the value and on how many names before this one were taken. */
export function safeHash(value: unknown, collisionCount = 0): string {
  return safeEncode(String(fnv32(`${semanticText(value)}#${collisionCount}`)));
}

/** `length` random safe characters. */
export function randomSuffix(length: number, random: () => number = Math.random): string {
  return Array.from({ length }, () => SAFE[Math.floor(random() * SAFE.length)]).join('');
}

/** Whether two templates make the same pods; the label that holds the template's own hash does not count. */
export function sameTemplate(a: PodTemplate, b: PodTemplate): boolean {
  return semanticText(withoutHash(a)) === semanticText(withoutHash(b));
}

function withoutHash(template: PodTemplate): PodTemplate {
  const { 'pod-template-hash': _, ...labels } = template.metadata?.labels ?? {};
  return { ...template, metadata: { ...template.metadata, labels } };
}
