import { createHash } from 'node:crypto';
import type { SessionPersistence } from '#model/session-persistence.ts';
import type { EndpointMeta } from '../tap/hub.ts';

/**
 * What the value of a session says. It names its endpoint by a tag and not by an address, and is looked up among the endpoints of the
 * rule: whatever a client makes up, it reaches nothing that the rule would not choose. So nothing is signed. Who changes the times
 * keeps a session longer, which gives nobody anything.
 */
export type SessionValue = {
  readonly beganMs: number; // since 1970
  readonly usedMs: number; // the last request whose response gave a value
  readonly tag: string; // base64url
};

const PREFIX = 't1.';
const TIME_BYTES = 6;
const TAG_BYTES = 12;
/** Two times and a tag. */
const FORM = /^t1\.[\w-]{32}$/;

/** How far the clocks of two nodes may differ. */
const CLOCK_SKEW_MS = 60_000;

/** Whether a text is a value, also one that cannot be read; others are the application's. */
export function isSessionText(text: string): boolean {
  return text.startsWith(PREFIX);
}

export function formatSessionValue({ beganMs, usedMs, tag }: SessionValue): string {
  const times = Buffer.alloc(2 * TIME_BYTES);
  times.writeUIntBE(beganMs, 0, TIME_BYTES);
  times.writeUIntBE(usedMs, TIME_BYTES, TIME_BYTES);
  return PREFIX + times.toString('base64url') + tag;
}

/** @returns nothing for any other text */
export function parseSessionValue(text: string): SessionValue | undefined {
  if (!FORM.test(text)) return undefined;
  const tagStart = PREFIX.length + (2 * TIME_BYTES * 4) / 3;
  const times = Buffer.from(text.slice(PREFIX.length, tagStart), 'base64url');
  return {
    beganMs: times.readUIntBE(0, TIME_BYTES),
    usedMs: times.readUIntBE(TIME_BYTES, TIME_BYTES),
    tag: text.slice(tagStart),
  };
}

/**
 * What an endpoint is called in the values of a rule. A pod that gets the address of another one is another endpoint (GEP-1619, "Security
 * and Privacy Implications").
 */
export function endpointTag(scope: string, { address, port, labels }: EndpointMeta): string {
  const text = [scope, address, port, labels['pod'] ?? ''].join('\0');
  return createHash('sha256').update(text).digest().subarray(0, TAG_BYTES).toString('base64url');
}

/** Whether a session has neither ended nor been forgotten. */
export function isInTime(
  { beganMs, usedMs }: SessionValue,
  { absoluteTimeoutMs = Infinity, idleTimeoutMs = Infinity }: SessionPersistence,
  nowMs: number,
): boolean {
  const latestMs = nowMs + CLOCK_SKEW_MS;
  if (beganMs > latestMs || usedMs > latestMs) return false;
  return nowMs - beganMs < absoluteTimeoutMs && nowMs - usedMs < idleTimeoutMs;
}
