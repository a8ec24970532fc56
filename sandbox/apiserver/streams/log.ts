import type { Readable } from 'node:stream';
import type { LogOptions, NodeAgent } from '../../node/node-agent.ts';
import type { KubeObject } from '../object.ts';
import type { StatusCause } from '../status-error.ts';
import { badRequest, invalid } from '../status-error.ts';
import { chooseContainer, flag, namespaceOf } from './parameters.ts';

const podLogOptions = { group: '', plural: 'podlogoptions', kind: 'PodLogOptions' };

/**
 * The log of one container as text, for `pods/{name}/log`. The caller ends the stream when the client goes away.
 *
 * Throws StatusError: 400 for a container that does not exist or has not run, 422 for options out of range.
 */
export function openLog(agent: NodeAgent, pod: KubeObject, query: URLSearchParams, nowMs = Date.now()): Readable {
  const options = parseLogOptions(pod.metadata.name, query, nowMs);
  return agent.logs(namespaceOf(pod), pod.metadata.name, chooseContainer(pod, query), options);
}

/** Source: core v1 `PodLogOptions` and its validation. */
function parseLogOptions(pod: string, query: URLSearchParams, nowMs: number): LogOptions {
  const causes: StatusCause[] = [];
  const number = (name: string, min: number): number | undefined => {
    const value = integer(query, name);
    if (value === undefined || value >= min) return value;
    const bound = min === 0 ? 'must be greater than or equal to 0' : 'must be greater than 0';
    causes.push({ reason: 'FieldValueInvalid', message: `Invalid value: ${value}: ${bound}`, field: name });
    return undefined;
  };
  const tailLines = number('tailLines', 0);
  const limitBytes = number('limitBytes', 1);
  const seconds = number('sinceSeconds', 1);
  const since = sinceTime(query, nowMs);
  if (seconds !== undefined && since !== undefined) {
    const message = 'Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified';
    causes.push({ reason: 'FieldValueForbidden', message, field: 'sinceSeconds' });
  }
  if (causes.length > 0) throw invalid(podLogOptions, pod, causes);
  const sinceSeconds = seconds ?? since;
  return {
    follow: flag(query, 'follow'),
    previous: flag(query, 'previous'),
    timestamps: flag(query, 'timestamps'),
    ...(tailLines === undefined ? {} : { tailLines }),
    ...(sinceSeconds === undefined ? {} : { sinceSeconds }),
    ...(limitBytes === undefined ? {} : { limitBytes }),
  };
}

function integer(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === '') return undefined;
  const value = Number(text);
  if (!/^[+-]?\d{1,19}$/.test(text) || !Number.isSafeInteger(value)) {
    throw badRequest(`${name}: "${text.slice(0, 100)}" is not a whole number`);
  }
  return value;
}

/** Whole seconds back to `sinceTime`, at least one. */
function sinceTime(query: URLSearchParams, nowMs: number): number | undefined {
  const text = query.get('sinceTime');
  if (text === null || text === '') return undefined;
  const then = Date.parse(text);
  if (Number.isNaN(then)) throw badRequest(`sinceTime: "${text.slice(0, 100)}" is not a time in RFC 3339`);
  return Math.max(1, Math.ceil((nowMs - then) / 1000));
}
