import type { SessionPersistence as SessionPersistenceMessage } from '#api/gen/http_route.ts';
import type { Duration } from '#api/gen/google/protobuf/duration.ts';
import {
  isCookiePath,
  isSessionName,
  type SessionCarrier,
  type SessionPersistence,
} from '#model/session-persistence.ts';
import { DecodeError } from './decode-error.ts';
import { decodeDurationMs } from './duration.ts';

export function decodeSessionPersistence(message: SessionPersistenceMessage, field: string): SessionPersistence {
  const { scope, absoluteTimeout, idleTimeout } = message;
  const carrier = decodeCarrier(message.carrier, field);
  if (carrier.kind === 'cookie' && carrier.isPermanent && absoluteTimeout === undefined)
    throw new DecodeError(`${field}.absolute_timeout`, 'missing, and the cookie is permanent');
  return {
    carrier,
    scope,
    ...(absoluteTimeout && { absoluteTimeoutMs: decodeLimit(absoluteTimeout, `${field}.absolute_timeout`) }),
    ...(idleTimeout && { idleTimeoutMs: decodeLimit(idleTimeout, `${field}.idle_timeout`) }),
  };
}

/** Names and paths become part of the heads of responses. */
function decodeCarrier(message: SessionPersistenceMessage['carrier'], field: string): SessionCarrier {
  if (message === undefined) throw new DecodeError(`${field}.carrier`, 'missing or unknown');
  const at = `${field}.${message.$case}`;
  const { name } = message.value;
  if (!isSessionName(name)) throw new DecodeError(`${at}.name`, 'not a name of a cookie or field');
  if (message.$case === 'header') return { kind: 'header', name: name.toLowerCase() };
  const { isPermanent, path } = message.value;
  if (path !== '' && !isCookiePath(path)) throw new DecodeError(`${at}.path`, 'not a path');
  return { kind: 'cookie', name, isPermanent, ...(path !== '' && { path }) };
}

function decodeLimit(message: Duration, field: string): number {
  const limitMs = decodeDurationMs(message, field);
  if (limitMs === 0) throw new DecodeError(field, 'not more than 0');
  return limitMs;
}
