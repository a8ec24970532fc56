import { VERSION } from './version.ts';

/** How many minor versions a proxy may be older than the control plane: their protocol and its defaults are kept that long. */
export const SUPPORTED_MINORS = 2;

/** Major and minor of `1.2.3`, `1.2.3-rc1` and the like. */
function parseVersion(text: string): { readonly major: number; readonly minor: number } | undefined {
  const [, major, minor] = /^v?(\d{1,6})\.(\d{1,6})\.\d{1,6}(?:[-+.]|$)/.exec(text) ?? [];
  return major === undefined ? undefined : { major: Number(major), minor: Number(minor) };
}

/**
 * How many minor versions one is behind the other: 0 for the same, negative when it is newer.
 *
 * @returns undefined when they cannot be compared: another major version, or a version that is no number
 */
export function minorsBehind(version: string, reference: string = VERSION): number | undefined {
  const [one, other] = [parseVersion(version), parseVersion(reference)];
  return one === undefined || other === undefined || one.major !== other.major ? undefined : other.minor - one.minor;
}

/** Whether a part of that version works with a control plane of the reference version. */
export function isSupported(version: string, reference: string = VERSION): boolean {
  const behind = minorsBehind(version, reference);
  return version === reference || (behind !== undefined && behind >= 0 && behind <= SUPPORTED_MINORS);
}
