import { isIP, isIPv4, isIPv6 } from 'node:net';

const uuid = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;
const hostname =
  /^(?=.{1,255}$)(?:[A-Za-z0-9](?:[-A-Za-z0-9]{0,61}[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[-A-Za-z0-9]{0,61}[A-Za-z0-9])?)*$/;
const dateTime =
  /^\d{4}-(?:0\d|1[0-2])-(?:[0-2]\d|3[01])[Tt ](?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/;

/** The formats that CustomResourceDefinitions may demand; others (int32 among them) are annotations. */
const formats: Readonly<Record<string, (value: string) => boolean>> = {
  byte: (value) => value.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(value),
  cidr: isCidr,
  date: (value) => /^\d{4}-\d\d-\d\d$/.test(value) && !Number.isNaN(Date.parse(value)),
  datetime: (value) => dateTime.test(value) && !Number.isNaN(Date.parse(value.slice(0, 10))),
  duration: isDuration,
  email: (value) => /^[^\s@<>()]+@[^\s@<>()]+$/.test(value),
  hexcolor: (value) => /^#?(?:[0-9a-f]{3}|[0-9a-f]{6})$/i.test(value),
  hostname: (value) => hostname.test(value),
  ipv4: isIPv4,
  ipv6: isIPv6,
  mac: (value) => /^[0-9a-f]{2}(?:([:-])[0-9a-f]{2})(?:\1[0-9a-f]{2}){4}$/i.test(value),
  uri: (value) => /^(?:\/|[A-Za-z][-+.A-Za-z0-9]*:)[^\s]*$/.test(value),
  uuid: (value) => uuid.test(value),
  uuid3: (value) => uuid.test(value) && /^.{8}-?.{4}-?3/.test(value),
  uuid4: (value) => uuid.test(value) && /^.{8}-?.{4}-?4.{3}-?[89ab]/i.test(value),
  uuid5: (value) => uuid.test(value) && /^.{8}-?.{4}-?5.{3}-?[89ab]/i.test(value),
};

/** True when the value has the format, or the format is one that is not enforced. */
export function hasFormat(format: string, value: string): boolean {
  const name = format.replaceAll('-', '');
  const test = Object.hasOwn(formats, name) ? formats[name] : undefined;
  return test === undefined || test(value);
}

export function isCidr(value: string): boolean {
  const parts = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(value);
  const version = isIP(parts?.[1] ?? '');
  return version !== 0 && Number(parts?.[2]) <= (version === 4 ? 32 : 128);
}

/** Go durations (`1h30m`, `-1.5s`), or one number with a unit in words (`22 ns`, `3 days`). */
function isDuration(value: string): boolean {
  const isGo = /^[-+]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)$/.test(value);
  return (
    isGo ||
    /^[-+]?\d+(?:\.\d+)?\s*(?:ns|nanos?(?:econds?)?|us|µs|micros?(?:econds?)?|ms|millis?(?:econds?)?|s|sec(?:ond)?s?|m|min(?:ute)?s?|h|hr|hours?|d|days?|w|weeks?)$/i.test(
      value,
    )
  );
}
