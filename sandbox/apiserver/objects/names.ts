/**
 * Syntax rules of names, labels and ports. Each function returns the complaints, empty when the value is fine, in the words of
 * apimachinery `pkg/util/validation`.
 */
const label1123 = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const subdomain1123 = `${label1123}(\\.${label1123})*`;
const label1035 = '[a-z]([-a-z0-9]*[a-z0-9])?';
const qualified = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]';
const wildcardSubdomain = `\\*\\.${subdomain1123}`;

const subdomainText =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const label1123Text =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
const label1035Text =
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
const qualifiedText =
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

export function maxLengthText(max: number): string {
  return `must be no more than ${max} characters`;
}

export function rangeText(low: number, high: number): string {
  return `must be between ${low} and ${high}, inclusive`;
}

export function regexText(message: string, pattern: string, ...examples: readonly string[]): string {
  if (examples.length === 0) return `${message} (regex used for validation is '${pattern}')`;
  return `${message} (e.g. ${examples.map((example) => `'${example}'`).join(',  or ')}, regex used for validation is '${pattern}')`;
}

function isWhole(pattern: string, value: string): boolean {
  return new RegExp(`^(?:${pattern})$`).test(value) && !value.endsWith('\n');
}

export function dnsLabelFaults(value: string): string[] {
  const faults = value.length > 63 ? [maxLengthText(63)] : [];
  if (isWhole(label1123, value)) return faults;
  if (isWhole(subdomain1123, value)) return [...faults, 'must not contain dots'];
  return [...faults, regexText(label1123Text, label1123, 'my-name', '123-abc')];
}

export function dnsSubdomainFaults(value: string): string[] {
  const faults = value.length > 253 ? [maxLengthText(253)] : [];
  if (isWhole(subdomain1123, value)) return faults;
  return [...faults, regexText(subdomainText, subdomain1123, 'example.com')];
}

export function wildcardSubdomainFaults(value: string): string[] {
  const faults = value.length > 253 ? [maxLengthText(253)] : [];
  if (isWhole(wildcardSubdomain, value)) return faults;
  const text =
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
  return [...faults, regexText(text, wildcardSubdomain, '*.example.com')];
}

export function dns1035Faults(value: string): string[] {
  const faults = value.length > 63 ? [maxLengthText(63)] : [];
  if (isWhole(label1035, value)) return faults;
  return [...faults, regexText(label1035Text, label1035, 'my-name', 'abc-123')];
}

/** RBAC names and the like: anything that is one path segment. */
export function pathSegmentFaults(value: string): string[] {
  if (value === '.' || value === '..') return [`may not be '${value}'`];
  return ['/', '%'].filter((part) => value.includes(part)).map((part) => `may not contain '${part}'`);
}

/** Keys of labels, annotations and finalizers: `[prefix/]name`. */
export function qualifiedNameFaults(value: string): string[] {
  const parts = value.split('/');
  const shape = regexText(qualifiedText, qualified, 'MyName', 'my.name', '123-abc');
  if (parts.length > 2) {
    return [`a qualified name ${shape} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`];
  }
  const faults: string[] = [];
  const [prefix, name = ''] = parts.length === 2 ? parts : [undefined, parts[0]];
  if (prefix === '') faults.push('prefix part must be non-empty');
  else if (prefix !== undefined) faults.push(...dnsSubdomainFaults(prefix).map((fault) => `prefix part ${fault}`));
  if (name === '') faults.push('name part must be non-empty');
  else if (name.length > 63) faults.push(`name part ${maxLengthText(63)}`);
  if (!isWhole(qualified, name)) faults.push(`name part ${shape}`);
  return faults;
}

export function labelValueFaults(value: string): string[] {
  const faults = value.length > 63 ? [maxLengthText(63)] : [];
  const pattern = `(${qualified})?`;
  if (isWhole(pattern, value)) return faults;
  const text = `a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character`;
  return [...faults, regexText(text, pattern, 'MyValue', 'my_value', '12345')];
}

/** IANA service names, the form of named ports. */
export function portNameFaults(value: string): string[] {
  const faults: string[] = [];
  if (value.length > 15) faults.push(maxLengthText(15));
  if (!isWhole('[-a-z0-9]+', value))
    faults.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)');
  if (!/[a-z]/.test(value)) faults.push('must contain at least one letter (a-z)');
  if (value.includes('--')) faults.push('must not contain consecutive hyphens');
  if (value.startsWith('-') || value.endsWith('-')) faults.push('must not begin or end with a hyphen');
  return faults;
}

export function portNumberFaults(value: number): string[] {
  return Number.isInteger(value) && value >= 1 && value <= 65535 ? [] : [rangeText(1, 65535)];
}

export function configKeyFaults(value: string): string[] {
  const pattern = '[-._a-zA-Z0-9]+';
  const faults = value.length > 253 ? [maxLengthText(253)] : [];
  if (!isWhole(pattern, value)) {
    const text = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
    faults.push(regexText(text, pattern, 'key.name', 'KEY_NAME', 'key-name'));
  }
  return [...faults, ...relativeDirFaults(value)];
}

export function envNameFaults(value: string): string[] {
  if (value === '') return ['environment variable name must be non-empty'];
  if (isWhole('[ -<>-~]+', value)) return [];
  return ["a valid environment variable name must consist only of printable ASCII characters other than '='"];
}

function relativeDirFaults(value: string): string[] {
  if (value === '.' || value === '..') return [`must not be '${value}'`];
  return value.startsWith('..') ? ["must not start with '..'"] : [];
}
