import { asText, type JsonObject } from '#k8s/json.ts';
import { readGatewayDuration } from '../dialects/gateway-api.ts';
import { Problems } from '../dialects/problem.ts';

/** A validation rule of a definition. */
type CelRule = {
  readonly field: string; // below the value that the rule is about, which readers name too; empty: the value itself
  readonly holds: (self: JsonObject) => boolean;
};

/**
 * Rules in CEL by their text, of Gateway API's definitions: those about what readers complain of too, so that whoever applies the
 * object is told that all of it is refused. Others are not evaluated.
 */
export const CEL_RULES: ReadonlyMap<string, CelRule> = new Map([
  [
    "!(has(self.request) && has(self.backendRequest) && duration(self.request) != duration('0s') && duration(self.backendRequest) > duration(self.request))",
    { field: 'backendRequest', holds: isAttemptWithinRequest },
  ],
  [
    "(self.type in ['Exact','PathPrefix']) ? self.value.startsWith('/') : true",
    {
      field: 'value',
      holds: ({ type, value }) => type === 'RegularExpression' || (asText(value) ?? '/').startsWith('/'),
    },
  ],
  [
    '!(has(self.percent) && has(self.fraction))',
    { field: 'percent', holds: ({ percent, fraction }) => percent === undefined || fraction === undefined },
  ],
  [
    "(size(self.group) == 0 && self.kind == 'Service') ? has(self.port) : true",
    {
      field: '',
      holds: ({ group = '', kind = 'Service', port }) => group !== '' || kind !== 'Service' || port !== undefined,
    },
  ],
  [
    'has(self.type) ? has(self.service) || has(self.method) : true',
    { field: '', holds: ({ service, method }) => service !== undefined || method !== undefined },
  ],
]);

function isAttemptWithinRequest({ request, backendRequest }: JsonObject): boolean {
  const ignored = new Problems(); // what is no duration is told by its pattern
  const requestMs = readGatewayDuration(request, '', ignored) ?? 0;
  return requestMs === 0 || (readGatewayDuration(backendRequest, '', ignored) ?? 0) <= requestMs;
}
