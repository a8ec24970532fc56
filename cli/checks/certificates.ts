import type { X509Certificate } from 'node:crypto';
import { Finding, type Check, type Hint } from './check.ts';

const DAY_MS = 86_400_000;
const SOON_DAYS = 60;

/** The three checks for certificates that renew themselves: there and well-formed, valid now, valid for a while. */
export function certificateChecks(
  what: string,
  hint: Hint,
  read: () => Promise<readonly X509Certificate[]>,
  now: () => number = Date.now,
): readonly Check[] {
  return [
    {
      description: `${what}: present, with supported algorithms`,
      hint,
      severity: 'fatal',
      isRetried: true,
      run: async () => {
        for (const certificate of await read()) {
          const { asymmetricKeyType, asymmetricKeyDetails } = certificate.publicKey;
          const isSupported =
            asymmetricKeyType === 'ec'
              ? asymmetricKeyDetails?.namedCurve === 'prime256v1'
              : asymmetricKeyType === 'rsa';
          if (!isSupported)
            throw new Finding(
              `${certificate.subject || certificate.serialNumber} has a key of type ${asymmetricKeyType ?? 'unknown'}: ECDSA P-256 or RSA is needed`,
            );
        }
      },
    },
    {
      description: `${what}: within the validity period`,
      hint,
      severity: 'error',
      isRetried: true,
      run: async () => {
        // One valid certificate is enough: during a rotation the bundle holds the old and the new one.
        const all = await read();
        if (
          !all.some(
            (certificate) => Date.parse(certificate.validFrom) <= now() && now() < Date.parse(certificate.validTo),
          )
        ) {
          throw new Finding(
            all.map((certificate) => `valid from ${certificate.validFrom} to ${certificate.validTo}`).join('; '),
          );
        }
      },
    },
    {
      description: `${what}: valid for at least ${SOON_DAYS} days`,
      hint,
      severity: 'warning',
      run: async () => {
        const last = Math.max(...(await read()).map((certificate) => Date.parse(certificate.validTo)));
        if (last - now() < SOON_DAYS * DAY_MS) throw new Finding(`will expire on ${new Date(last).toISOString()}`);
      },
    },
  ];
}
