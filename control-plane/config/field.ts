import { parseNetwork } from '#model/address.ts';
import { parsePortSet } from '#model/port-set.ts';
import { DurationError, parseDurationMs } from '#runtime/duration.ts';

/** What a value may be. `remedy` says how to write it right, or nothing when it is right. */
export type Field =
  | { readonly type: 'text'; readonly help: string; readonly remedy: (text: string) => string | undefined }
  | { readonly type: 'choice'; readonly help: string; readonly choices: readonly string[] }
  | { readonly type: 'number'; readonly help: string; readonly min: number; readonly max: number }
  | { readonly type: 'switch'; readonly help: string }
  | { readonly type: 'list'; readonly help: string; readonly remedy: (item: string) => string | undefined };

/** Source: RFC 1123 label and subdomain. */
const LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
/** A level, or Linkerd's `module=level,...`. */
/** What the proxies accept: they do not start with anything else. */
const LOG_FILTER =
  /^([a-z0-9_:]+=)?(off|error|warn|info|debug|trace)(,([a-z0-9_:]+=)?(off|error|warn|info|debug|trace))*$/i;
/** Host with an optional port, then path components. Source: distribution `reference`. */
const IMAGE_NAME = /^[a-z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?(:\d+(?=\/))?(\/[a-z0-9]([a-z0-9._-]*[a-z0-9])?)*$/;
const IMAGE_TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
/** Source: apimachinery `resource.Quantity`, without exponents. */
const QUANTITY = /^(\d+(?:\.\d+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?$/;
const MAX_TEXT = 1024;

const matching =
  (pattern: RegExp, remedy: string) =>
  (text: string): string | undefined =>
    text.length <= MAX_TEXT && pattern.test(text) ? undefined : remedy;

export const isLabel = matching(LABEL, 'use a name of a-z, 0-9 and dashes, of at most 63 characters');
export const isImage = matching(IMAGE_NAME, 'use a name without tag, such as registry.example/tulle');
export const isTag = matching(IMAGE_TAG, 'use the tag of an image, such as 1.2.3');
export const isLogFilter = matching(
  LOG_FILTER,
  'use off, error, warn, info, debug or trace, or several as in warn,linkerd=debug',
);
export const isQuantity = matching(QUANTITY, 'use a quantity such as 100m, 0.5, 64Mi or 1Gi');

export function isDnsName(text: string): string | undefined {
  const isRight = text.length <= 253 && text.split('.').every((part) => LABEL.test(part));
  return isRight ? undefined : 'use a DNS name in lower case, such as cluster.local';
}

export function isServiceAccountOrNothing(text: string): string | undefined {
  const parts = text.split('.');
  const isRight = text === '' || (parts.length === 2 && parts.every((part) => LABEL.test(part)));
  return isRight ? undefined : 'use NAME.NAMESPACE of a service account, or nothing';
}

export function isLabelOrNothing(text: string): string | undefined {
  return text === '' ? undefined : isLabel(text);
}

export function isEndpointOrNothing(text: string): string | undefined {
  const [, host = '', port = ''] = /^([^:]+):(\d{1,5})$/.exec(text) ?? [];
  const isRight = isDnsName(host.replace(/\.$/, '')) === undefined && Number(port) >= 1 && Number(port) <= 65_535;
  return text === '' || isRight ? undefined : 'use HOST:PORT, such as collector.tracing:4317, or nothing';
}

export const isServiceName = matching(/^[\w./-]{1,128}$/, 'use letters, digits, dots, dashes and slashes');

export function isPortList(text: string): string | undefined {
  const isRight = text.length <= MAX_TEXT && parsePortSet(text).unknown.length === 0;
  return isRight ? undefined : 'use ports and ranges from 1 to 65535, separated by commas, such as 25,3000-3010';
}

export function isNetwork(text: string): string | undefined {
  const isRight = text.length <= 64 && text.includes('/') && parseNetwork(text) !== undefined;
  return isRight ? undefined : 'use networks such as 10.0.0.0/8';
}

/** @param why  that it is not shorter */
export function isDuration(minMs: number, why: string): (text: string) => string | undefined {
  return (text) => {
    try {
      return parseDurationMs(text) >= minMs ? undefined : `use at least ${minMs / 1000}s, ${why}`;
    } catch (error) {
      if (error instanceof DurationError) return 'use a duration such as 30s, 24h or 7d';
      throw error;
    }
  };
}

const UNITS: Readonly<Record<string, number>> = {
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/** Number behind a quantity that `isQuantity` accepts; NaN for any other text. */
export function quantity(text: string): number {
  const [, digits = 'NaN', unit = ''] = QUANTITY.exec(text) ?? [];
  return Number(digits) * (UNITS[unit] ?? 1);
}
