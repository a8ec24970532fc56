import type { ApiCall } from './api-call.ts';
import { badRequest, StatusError } from './status-error.ts';
import type { FieldValidation, WriteOptions } from './write-options.ts';

const FIELD_MANAGER_LENGTH_MAX = 128;

/**
 * How the write of a request is to be done.
 *
 * @throws StatusError 400 or 422 on unknown values
 */
export function writeOptionsOf({ query, headers, user, warn }: ApiCall): WriteOptions {
  return {
    user,
    isDryRun: parseDryRun(query.getAll('dryRun')),
    fieldManager: fieldManagerOf(query, headers['user-agent']),
    fieldValidation: parseFieldValidation(query.get('fieldValidation') ?? ''),
    warn,
  };
}

export function parseDryRun(values: readonly unknown[]): boolean {
  const asked = values.filter((value) => value !== '');
  const wrong = asked.find((value) => value !== 'All');
  if (wrong === undefined) return asked.length > 0;
  const detail = `Unsupported value: ${JSON.stringify(wrong)}: supported values: "All"`;
  throw invalidOption('dryRun', detail);
}

function parseFieldValidation(text: string): FieldValidation {
  if (text === '') return 'Warn';
  if (text === 'Strict' || text === 'Warn' || text === 'Ignore') return text;
  const detail = `Unsupported value: ${JSON.stringify(text)}: supported values: "Ignore", "Strict", "Warn"`;
  throw invalidOption('fieldValidation', detail);
}

/** Who is noted as the owner of fields: what the client says, else the first part of its User-Agent. */
function fieldManagerOf(query: URLSearchParams, userAgent: string | undefined): string {
  const named = query.get('fieldManager') ?? '';
  if (named.length > FIELD_MANAGER_LENGTH_MAX) {
    throw badRequest(`fieldManager: may not be more than ${FIELD_MANAGER_LENGTH_MAX} bytes`);
  }
  if (named !== '') return named;
  const agent = (userAgent ?? '').split('/', 1)[0] ?? '';
  return agent === '' ? 'unknown' : agent.slice(0, FIELD_MANAGER_LENGTH_MAX);
}

function invalidOption(field: string, detail: string): StatusError {
  return new StatusError(422, 'Invalid', `UpdateOptions.meta.k8s.io "" is invalid: ${field}: ${detail}`, {
    group: 'meta.k8s.io',
    kind: 'UpdateOptions',
    causes: [{ reason: 'FieldValueNotSupported', message: detail, field }],
  });
}
