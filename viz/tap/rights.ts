import { createHash, timingSafeEqual } from 'node:crypto';

/** The objects by which callers show that they may tap. */
export const TAP_GROUP = 'tap.tulle.dev';
export const TAP_PATH = `/apis/${TAP_GROUP}/v1alpha1`;

const VALID_MS = 60_000;

/** What is read of a TapRequest. */
export type TapRequestObject = {
  readonly metadata?: { readonly uid?: string; readonly creationTimestamp?: string };
  readonly spec?: { readonly nonceHash?: string };
};

export type TapRequestClient = {
  /** @throws with a short reason when there is none */
  readonly get: (namespace: string, name: string) => Promise<TapRequestObject>;
  readonly delete: (namespace: string, name: string, uid: string) => Promise<void>;
};

/** A tap that the caller has no right to; the message says why and what would help. */
export class TapRefused extends Error {
  override readonly name = 'TapRefused';
}

/** What a TapRequest holds instead of the nonce, so that reading the object gives nothing away. */
export function hashNonce(nonce: string): string {
  return createHash('sha256').update(nonce).digest('hex');
}

/**
 * Checks that the caller was allowed to create this TapRequest, and uses it up. The API server is the judge: only who may
 * create TapRequests in a namespace can have made one there whose nonce he knows.
 *
 * @throws TapRefused
 */
export async function claimRight(
  client: TapRequestClient,
  claim: { readonly namespace: string; readonly name: string; readonly nonce: string },
  nowMs: number,
): Promise<void> {
  const { namespace, name, nonce } = claim;
  const which = `TapRequest ${namespace}/${name}`;
  let object: TapRequestObject;
  try {
    object = await client.get(namespace, name);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new TapRefused(
      `${which} cannot be read (${reason}): tapping needs the right to create taprequests.${TAP_GROUP} in namespace ${namespace}`,
    );
  }
  const { uid = '', creationTimestamp = '' } = object.metadata ?? {};
  const expected = Buffer.from(object.spec?.nonceHash ?? '');
  const actual = Buffer.from(hashNonce(nonce));
  if (expected.length !== actual.length || !timingSafeEqual(expected, actual))
    throw new TapRefused(`${which} was made by somebody else: the nonce is not its own`);
  const ageMs = nowMs - Date.parse(creationTimestamp);
  if (!(Math.abs(ageMs) <= VALID_MS)) throw new TapRefused(`${which} is older than ${VALID_MS / 1000} s: make another`);
  try {
    await client.delete(namespace, name, uid); // whoever deletes it has used it: nobody else can
  } catch (error) {
    throw new TapRefused(`${which} is used already (${error instanceof Error ? error.message : String(error)})`);
  }
}
