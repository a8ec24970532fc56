import { asList, asObject, asText, isObject } from '#k8s/json.ts';
import type { Problems } from './problem.ts';

/** Chooses objects by their labels; all requirements must hold, none chooses everything. Source: `metav1.LabelSelector`. */
export type LabelSelector = readonly LabelRequirement[];

type LabelRequirement = {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values: readonly string[];
};

const OPERATORS: readonly LabelRequirement['operator'][] = ['In', 'NotIn', 'Exists', 'DoesNotExist'];

export function readLabelSelector(value: unknown, field: string, problems: Problems): LabelSelector {
  const { matchLabels, matchExpressions } = asObject(value);
  const byLabel = Object.entries(asObject(matchLabels)).map(([key, label]): LabelRequirement => {
    if (typeof label !== 'string') problems.add(`${field}.matchLabels.${key}`, 'is not text');
    return { key, operator: 'In', values: [String(label)] };
  });
  const byExpression = asList(matchExpressions).map((entry, index): LabelRequirement => {
    const at = `${field}.matchExpressions[${index}]`;
    const fields = asObject(entry);
    const key = asText(fields['key']) ?? '';
    if (!isObject(entry) || key === '') problems.add(`${at}.key`, 'is missing');
    const values = asList(fields['values']).filter((text): text is string => typeof text === 'string');
    const operator = OPERATORS.find((name) => name === fields['operator']);
    if (operator === undefined) problems.add(`${at}.operator`, `use one of ${OPERATORS.join(', ')}`);
    else if ((operator === 'In' || operator === 'NotIn') !== values.length > 0)
      problems.add(`${at}.values`, values.length > 0 ? `${operator} takes no values` : `${operator} needs values`);
    return { key, operator: operator ?? 'In', values };
  });
  return [...byLabel, ...byExpression];
}

export function selects(selector: LabelSelector, labels: Readonly<Record<string, string>>): boolean {
  return selector.every(({ key, operator, values }) => {
    const label = Object.hasOwn(labels, key) ? labels[key] : undefined;
    switch (operator) {
      case 'In':
        return label !== undefined && values.includes(label);
      case 'NotIn':
        return label === undefined || !values.includes(label);
      case 'Exists':
        return label !== undefined;
      case 'DoesNotExist':
        return label === undefined;
    }
  });
}
