import type { SessionPersistence as SessionPersistenceMessage } from '#api/gen/http_route.ts';
import type { SessionPersistence } from '#model/session-persistence.ts';
import { encodeDuration } from './duration.ts';

export function encodeSessionPersistence(session: SessionPersistence): SessionPersistenceMessage {
  const { carrier, scope, absoluteTimeoutMs, idleTimeoutMs } = session;
  const { name } = carrier;
  return {
    carrier:
      carrier.kind === 'cookie'
        ? { $case: 'cookie', value: { name, isPermanent: carrier.isPermanent, path: carrier.path ?? '' } }
        : { $case: 'header', value: { name } },
    scope,
    absoluteTimeout: absoluteTimeoutMs === undefined ? undefined : encodeDuration(absoluteTimeoutMs),
    idleTimeout: idleTimeoutMs === undefined ? undefined : encodeDuration(idleTimeoutMs),
  };
}
