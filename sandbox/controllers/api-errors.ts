import { StatusError } from '../apiserver/status-error.ts';

function hasReason(error: unknown, reason: string): boolean {
  return error instanceof StatusError && error.reason === reason;
}

export function isNotFound(error: unknown): boolean {
  return hasReason(error, 'NotFound');
}

export function isConflict(error: unknown): boolean {
  return hasReason(error, 'Conflict');
}

export function isAlreadyExists(error: unknown): boolean {
  return hasReason(error, 'AlreadyExists');
}

/** The namespace is going away, so nothing more can be made in it; that is no failure. */
export function isNamespaceTerminating(error: unknown): boolean {
  if (!(error instanceof StatusError)) return false;
  return error.details?.causes?.some((cause) => cause.reason === 'NamespaceTerminating') ?? false;
}

/** Why something failed, for an event or a condition. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
