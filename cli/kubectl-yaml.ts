import type { ScalarTag, Tags } from 'yaml';

const FLOAT = 'tag:yaml.org,2002:float';

/** YAML 1.1 takes `e1` for a number; kubectl wants a digit before the exponent. */
const exponent: ScalarTag = {
  identify: (value) => typeof value === 'number',
  default: true,
  tag: FLOAT,
  format: 'EXP',
  test: /^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)[eE][-+]?[0-9]+$/,
  resolve: (text) => Number.parseFloat(text),
  stringify: ({ value }) => Number(value).toExponential(),
};

/**
 * How YAML is read to mean what kubectl takes it for: YAML 1.1, where `on` and `y` are truth values, but neither `12:30` nor `e1` is a number
 * and dates are text. Source: go-yaml v2, `resolve.go`, which Kubernetes reads YAML with.
 */
export const KUBECTL_YAML = {
  version: '1.1' as const,
  customTags: (tags: Tags): Tags => [
    ...tags.filter(
      (tag) =>
        typeof tag === 'string' ||
        !(tag.format === 'TIME' || tag.format === 'EXP' || tag.tag === 'tag:yaml.org,2002:timestamp'),
    ),
    exponent,
  ],
};
