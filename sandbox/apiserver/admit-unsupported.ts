import type { Validator } from './admission.ts';
import { isJsonObject, type JsonObject } from './object.ts';
import { ruleSyntaxFault } from './objects/cel/rules.ts';
import { metadataOf } from './object-meta.ts';
import { resourceKey } from './registry.ts';
import { invalid } from './status-error.ts';

/** Refuses what would be stored and then silently not done: the author must learn it now. */
export const refuseUnsupported: Validator = ({ type, object, options }) => {
  if (object === undefined) return;
  const remark = REMARKS[resourceKey(type)];
  if (remark !== undefined) options.warn(`the sandbox API server ${remark}`);
  const faults = faultsOf(resourceKey(type), object);
  if (faults.length === 0) return;
  const { name } = metadataOf(object);
  const causes = faults.map(({ field, why, syntaxOf }) =>
    syntaxOf === undefined
      ? { reason: 'FieldValueForbidden', message: `Forbidden: ${why} by the sandbox API server`, field }
      : { reason: 'FieldValueInvalid', message: `Invalid value: ${JSON.stringify(syntaxOf)}: ${why}`, field },
  );
  throw invalid(type, typeof name === 'string' ? name : '', causes);
};

/** Kinds that are stored because manifests hold them, but have no effect here. */
const REMARKS: Readonly<Record<string, string>> = {
  'networkpolicies.networking.k8s.io': 'stores NetworkPolicies but nothing enforces them',
  'ingresses.networking.k8s.io': 'stores Ingresses but no controller serves them',
  'validatingadmissionpolicybindings.admissionregistration.k8s.io':
    'stores ValidatingAdmissionPolicies but does not evaluate them',
};

/** `syntaxOf` is an expression that cannot be read at all. */
type Fault = { readonly field: string; readonly why: string; readonly syntaxOf?: string };

function faultsOf(resource: string, object: JsonObject): readonly Fault[] {
  switch (resource) {
    case 'mutatingwebhookconfigurations.admissionregistration.k8s.io':
    case 'validatingwebhookconfigurations.admissionregistration.k8s.io':
      return webhookFaults(object);
    case 'customresourcedefinitions.apiextensions.k8s.io':
      return definitionFaults(object);
    default:
      return [];
  }
}

function webhookFaults({ webhooks }: JsonObject): readonly Fault[] {
  return (Array.isArray(webhooks) ? webhooks : []).flatMap((webhook: unknown, index) => {
    const conditions = isJsonObject(webhook) ? webhook['matchConditions'] : undefined;
    return (Array.isArray(conditions) ? conditions : []).flatMap((condition: unknown, position) => {
      const expression = isJsonObject(condition) ? condition['expression'] : undefined;
      if (typeof expression !== 'string') return [];
      const field = `webhooks[${index}].matchConditions[${position}].expression`;
      const syntax = ruleSyntaxFault(expression);
      if (syntax !== undefined) return [{ field, why: syntax, syntaxOf: expression }];
      return /\bauthorizer\b/.test(expression) ? [{ field, why: 'the variable authorizer is not offered' }] : [];
    });
  });
}

function definitionFaults({ spec }: JsonObject): readonly Fault[] {
  const conversion = isJsonObject(spec) && isJsonObject(spec['conversion']) ? spec['conversion'] : {};
  if (conversion['strategy'] !== 'Webhook') return [];
  return [{ field: 'spec.conversion.strategy', why: 'conversion webhooks are not called' }];
}
