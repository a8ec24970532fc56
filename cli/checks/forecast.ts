import {
  IDENTITY,
  IDENTITY_ANCHOR_SECRET,
  IDENTITY_ISSUER_SECRET,
  INJECTOR,
  INJECTOR_CERTIFICATE_SECRET,
  TRUST_ROOTS_CONFIG_MAP,
  TRUST_ROOTS_KEY,
} from '#config/names.ts';
import { asObject, asText, asTextMap } from '#k8s/json.ts';
import { parseCertificate, type Certificate } from '#pki/certificate.ts';
import { decodeCertificates } from '#pki/pem.ts';
import { verifyChain } from '#pki/trust-anchors.ts';
import { issuerOwner } from '../../control-plane/identity/stored-objects.ts';
import { ApiError, type Cluster } from '../cluster.ts';
import { reasonOf } from '../reason.ts';
import { Finding, type Category } from './check.ts';

const DAY_MS = 86_400_000;
const SOON_DAYS = 30;

/** One certificate: when it ends, who renews it, and whether somebody has to do something now. */
type Prospect = { readonly text: string; readonly problem?: string };

/** A certificate that renews itself, and how much of its time is left when that should have happened by now. */
type Renewal = { readonly by: string; readonly overdueMs: number };

/**
 * Which certificate ends when, who renews it, and what to do where nobody does.
 *
 * @param deploymentOf  where a process of the control plane runs; never rejects
 */
export function forecastChecks(
  cluster: Cluster,
  namespace: string,
  deploymentOf: (process: string) => Promise<string>,
  now: () => number = Date.now,
): Category {
  const path = (plural: string, name: string): string => `/api/v1/namespaces/${namespace}/${plural}/${name}`;
  const secret = async (name: string): Promise<{ readonly type: string; readonly data: Record<string, string> }> => {
    const object = asObject(await cluster.get(path('secrets', name)));
    const entries = Object.entries(asTextMap(object['data']));
    const data = Object.fromEntries(entries.map(([key, text]) => [key, Buffer.from(text, 'base64').toString()]));
    return { type: asText(object['type']) ?? '', data };
  };
  const anchors = async (): Promise<readonly Certificate[]> => {
    const object = asObject(await cluster.get(path('configmaps', TRUST_ROOTS_CONFIG_MAP)));
    return certificatesOf(asTextMap(object['data'])[TRUST_ROOTS_KEY] ?? '', TRUST_ROOTS_CONFIG_MAP);
  };

  const issuer = async (): Promise<readonly Prospect[]> => {
    const { type, data } = await secret(IDENTITY_ISSUER_SECRET);
    const text = data['crt.pem'] ?? data['tls.crt'] ?? '';
    const [certificate, ...chain] = certificatesOf(text, `Secret ${IDENTITY_ISSUER_SECRET}`);
    if (certificate === undefined) return [];
    const isOurs = issuerOwner(type, data) === 'us';
    const overdueMs = (certificate.notAfterMs - certificate.notBeforeMs) * 0.4;
    const remedy = `put the next one into Secret ${IDENTITY_ISSUER_SECRET}`;
    const prospect = isOurs
      ? renewed('issuer', certificate, { by: await deploymentOf(IDENTITY), overdueMs }, now())
      : owned('issuer', certificate, remedy, now());
    const verdict = verifyChain([certificate, ...chain], await anchors(), now());
    if (verdict.isTrusted) return [prospect];
    return [{ ...prospect, problem: `the issuer cannot be used: ${verdict.reason}${isOurs ? '' : `: ${remedy}`}` }];
  };
  const trustAnchors = async (): Promise<readonly Prospect[]> => {
    const stored = await cluster.find(path('secrets', IDENTITY_ANCHOR_SECRET));
    const data = stored === undefined ? {} : (await secret(IDENTITY_ANCHOR_SECRET)).data;
    const texts = [data['tls.crt'], data['previous.crt']].map((text) => text ?? '');
    const own = texts.flatMap((text) => (text.trim() === '' ? [] : certificatesOf(text, IDENTITY_ANCHOR_SECRET)));
    const by = await deploymentOf(IDENTITY);
    return (await anchors()).map((anchor) => {
      const index = own.findIndex(({ der }) => der.equals(anchor.der));
      if (index > 0) return { text: `${line('trust anchor', anchor, now())}, has a successor already` };
      const lifetimeMs = anchor.notAfterMs - anchor.notBeforeMs;
      return index === 0
        ? renewed('trust anchor', anchor, { by, overdueMs: Math.min(365 * DAY_MS, lifetimeMs * 0.08) }, now())
        : owned('trust anchor', anchor, `add the next one to ConfigMap ${TRUST_ROOTS_CONFIG_MAP}`, now());
    });
  };
  const webhook = async (): Promise<readonly Prospect[]> => {
    const { data } = await secret(INJECTOR_CERTIFICATE_SECRET);
    const [leaf] = certificatesOf(data['tls.crt'] ?? '', `Secret ${INJECTOR_CERTIFICATE_SECRET}`);
    if (leaf === undefined) return [];
    return [renewed('webhook certificate', leaf, { by: await deploymentOf(INJECTOR), overdueMs: 110 * DAY_MS }, now())];
  };

  return {
    name: 'tulle-certificates',
    checks: [
      {
        description: 'certificate forecast',
        hint: async () => {
          const [first, ...others] = new Set(await Promise.all([IDENTITY, INJECTOR].map(deploymentOf)));
          const logs = [`\`kubectl -n ${namespace} logs deploy/${first}\``, ...others].join(' or ');
          return `renew what is yours in time; for the others see ${logs}`;
        },
        severity: 'warning',
        run: async () => {
          const prospects = (await Promise.all([trustAnchors, issuer, webhook].map(prospectsOf))).flat();
          const problems = prospects.flatMap(({ problem }) => problem ?? []);
          const texts = prospects.map(({ text }) => text).join('\n');
          if (problems.length > 0) throw new Finding(`${problems.join('\n')}\n${texts}`);
          return { note: texts };
        },
      },
    ],
  };
}

/** What cannot be read is a line of its own: not everybody who may run `check` may read Secrets. */
async function prospectsOf(read: () => Promise<readonly Prospect[]>): Promise<readonly Prospect[]> {
  try {
    return await read();
  } catch (error) {
    const text = `unknown: ${reasonOf(error)}`;
    return [error instanceof ApiError ? { text } : { text, problem: reasonOf(error) }];
  }
}

function certificatesOf(pem: string, where: string): readonly Certificate[] {
  return decodeCertificates(pem, where).map(parseCertificate);
}

function renewed(what: string, certificate: Certificate, { by, overdueMs }: Renewal, nowMs: number): Prospect {
  const text = `${line(what, certificate, nowMs)}, renewed by ${by}`;
  const isOverdue = certificate.notAfterMs - nowMs < overdueMs;
  return isOverdue ? { text, problem: `${by} should have renewed the ${what} by now` } : { text };
}

function owned(what: string, certificate: Certificate, remedy: string, nowMs: number): Prospect {
  const text = `${line(what, certificate, nowMs)}, yours to renew`;
  const leftMs = certificate.notAfterMs - nowMs;
  if (leftMs >= SOON_DAYS * DAY_MS) return { text };
  return { text, problem: `the ${what} ${leftMs > 0 ? 'ends soon' : 'has ended'}: ${remedy}` };
}

function line(what: string, { commonName, names, serialHex, notAfterMs }: Certificate, nowMs: number): string {
  const days = Math.floor((notAfterMs - nowMs) / DAY_MS);
  const end = new Date(notAfterMs).toISOString().slice(0, 10);
  const left = days < 0 ? 'over' : `${days} days left`;
  return `${what} "${commonName ?? names.dns[0] ?? serialHex}": until ${end} (${left})`;
}
