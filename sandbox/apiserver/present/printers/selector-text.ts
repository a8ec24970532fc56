import { labelSelectorOf, printLabelSelector } from '../../objects/selectors.ts';
import { StatusError } from '../../status-error.ts';
import { asObject, asString } from '../../objects/json.ts';

/** A map of labels as `a=b,c=d`, sorted, `<none>` when empty. Source: apimachinery `labels.FormatLabels`. */
export function formatLabels(labels: unknown): string {
  const pairs = Object.entries(asObject(labels)).map(([key, value]) => `${key}=${asString(value)}`);
  return pairs.length === 0 ? '<none>' : pairs.sort().join(',');
}

/** A LabelSelector object in text form, `<none>` when it has no requirement. Source: apimachinery `FormatLabelSelector`. */
export function formatLabelSelector(selector: unknown): string {
  try {
    return printLabelSelector(labelSelectorOf(selector)) || '<none>';
  } catch (error) {
    if (error instanceof StatusError) return '<error>'; // a stored selector that is no selector
    throw error;
  }
}
