import { X509Certificate } from 'node:crypto';
import {
  CONFIG_MAP,
  CONTROL_PLANE,
  DESTINATION,
  IDENTITY,
  INJECTOR,
  TRUST_ROOTS_CONFIG_MAP,
  TRUST_ROOTS_KEY,
  controlDeployments,
  deploymentOf,
  WEBHOOK_CONFIGURATION,
} from '#config/names.ts';
import { defaultValues } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import { renderCrds } from '../../control-plane/install/render.ts';
import type { Cluster } from '../cluster.ts';
import { installedValues, type InstalledValues } from '../installed-values.ts';
import { publishedAnchorsPem } from '../published-anchors.ts';
import { reasonOf } from '../reason.ts';
import { Finding, type Category, type Check } from './check.ts';
import { certificateChecks } from './certificates.ts';
import { forecastChecks } from './forecast.ts';
import { networkChecks } from './cluster.ts';
import { cniChecks } from './cni.ts';
import { deploymentReady } from './deployment.ts';
import { installationChecks } from './installation.ts';
import { livePods } from './live-pods.ts';

const COMPONENTS = [IDENTITY, DESTINATION, INJECTOR];
const INSTALL_HINT = '`tulle install | kubectl apply -f -`';

/** What must hold in a cluster with an installation. */
export function controlPlaneChecks(cluster: Cluster, namespace: string): readonly Category[] {
  const mustExist = (description: string, paths: readonly string[], severity: Check['severity'] = 'fatal'): Check => ({
    description,
    hint: `install again: ${INSTALL_HINT}`,
    severity,
    run: async () => {
      for (const path of paths) {
        if ((await cluster.find(path)) === undefined)
          throw new Finding(`${path.split('/').slice(-2).join('/')} does not exist`);
      }
    },
  });
  const installed = (): Promise<InstalledValues> => installedValues(cluster, namespace);
  const deployment = async (process: string): Promise<string> => {
    const values = await installed().then(
      (known) => known.values,
      () => defaultValues(VERSION), // told by a check of its own
    );
    return deploymentOf(values, process);
  };
  const logs = async (process: string): Promise<string> =>
    `\`kubectl -n ${namespace} logs deploy/${await deployment(process)}\``;
  return [
    {
      name: 'tulle-existence',
      checks: [
        {
          ...mustExist('control plane namespace exists', [`/api/v1/namespaces/${namespace}`]),
          hint: `Tulle is not installed: ${INSTALL_HINT}; if it has another namespace, name that with -L`,
        },
        mustExist(`'${CONFIG_MAP}' config map exists`, [`/api/v1/namespaces/${namespace}/configmaps/${CONFIG_MAP}`]),
        {
          description: `'${CONFIG_MAP}' config map holds values that can be used`,
          hint: 'apply `tulle install` with your values again',
          severity: 'fatal',
          run: async () => void (await installed()),
        },
        {
          description: `'${CONFIG_MAP}' config map holds no value that this version does not know`,
          hint: 'use the `tulle` of the control plane; an upgrade with this one leaves the value out',
          severity: 'warning',
          run: async () => {
            const { unknown } = await installed();
            if (unknown.length > 0) throw new Finding(unknown.join('\n'));
          },
        },
        ...[...COMPONENTS, CONTROL_PLANE].map((name) =>
          onlyWhere(
            async () => controlDeployments((await installed()).values).includes(name),
            deploymentReady(cluster, namespace, name, {
              description: `control plane deployment ${name} is ready`,
              severity: 'fatal',
            }),
          ),
        ),
        {
          description: 'no unschedulable pods',
          hint: `\`kubectl -n ${namespace} describe pods\` says what the scheduler is missing`,
          severity: 'warning',
          run: async () => {
            const stuck = (await livePods(cluster, namespace)).filter((pod) => isUnschedulable(pod['status']));
            if (stuck.length > 0) throw new Finding(stuck.map((pod) => pod.metadata.name).join(', '));
          },
        },
      ],
    },
    {
      name: 'tulle-config',
      checks: [
        ...COMPONENTS.flatMap((name) => [
          onlyWhere(
            // One process has one account.
            async () => name === DESTINATION || !(await installed()).values.singleProcess,
            mustExist(
              `ServiceAccount ${name} exists`,
              [`/api/v1/namespaces/${namespace}/serviceaccounts/${name}`],
              'error',
            ),
          ),
          mustExist(
            `ClusterRole and binding of ${name} exist`,
            ['clusterroles', 'clusterrolebindings'].map(
              (plural) => `/apis/rbac.authorization.k8s.io/v1/${plural}/${namespace}-${name}`,
            ),
            'error',
          ),
        ]),
        {
          description: 'control plane CustomResourceDefinitions exist',
          hint: '`tulle install --crds | kubectl apply -f -`',
          severity: 'error',
          run: async () => {
            const present = new Set(
              (await cluster.list('/apis/apiextensions.k8s.io/v1/customresourcedefinitions')).map(
                ({ metadata }) => metadata.name,
              ),
            );
            const missing = renderCrds(defaultValues(VERSION)).filter(({ metadata }) => !present.has(metadata.name));
            if (missing.length > 0)
              throw new Finding(`missing: ${missing.map(({ metadata }) => metadata.name).join(', ')}`);
          },
        },
        mustExist(
          'control plane MutatingWebhookConfigurations exist',
          [`/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/${WEBHOOK_CONFIGURATION}`],
          'error',
        ),
        ...networkChecks(cluster, async () => (await installed()).values.clusterNetworks),
      ],
    },
    ...cniChecks(cluster, namespace, installed),
    ...installationChecks(cluster, namespace, installed),
    {
      name: 'tulle-identity',
      checks: certificateChecks(
        'trust anchors',
        async () =>
          `the identity process renews what it made: ${await logs(IDENTITY)}. The certificate forecast says what is yours to renew`,
        () => trustAnchors(cluster, namespace),
      ),
    },
    {
      name: 'tulle-webhooks',
      checks: certificateChecks(
        'injector webhook certificate',
        async () => `the injector renews it: ${await logs(INJECTOR)}`,
        () => webhookBundle(cluster),
      ),
    },
    forecastChecks(cluster, namespace, deployment),
    {
      name: 'control-plane-version',
      checks: [
        {
          description: 'control plane and cli versions match',
          hint: 'upgrade the older one; for the control plane: `tulle upgrade | kubectl apply -f -`',
          severity: 'warning',
          run: async () => {
            const { version } = (await installed()).values;
            if (version !== VERSION) throw new Finding(`the control plane is ${version}, the command line ${VERSION}`);
          },
        },
      ],
    },
  ];
}

/** A check that applies only sometimes. */
function onlyWhere(applies: () => Promise<boolean>, check: Check): Check {
  return { ...check, run: async () => ((await applies()) ? check.run() : 'skip') };
}

async function trustAnchors(cluster: Cluster, namespace: string): Promise<readonly X509Certificate[]> {
  const pem = await publishedAnchorsPem(cluster, namespace);
  if (pem === undefined)
    throw new Finding(
      `config map ${TRUST_ROOTS_CONFIG_MAP} has no ${TRUST_ROOTS_KEY}: the identity process has not made the trust anchor yet`,
    );
  return certificates(pem, `config map ${TRUST_ROOTS_CONFIG_MAP}`);
}

async function webhookBundle(cluster: Cluster): Promise<readonly X509Certificate[]> {
  const object = await cluster.get(
    `/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/${WEBHOOK_CONFIGURATION}`,
  );
  const [webhook] = (object['webhooks'] as { clientConfig?: { caBundle?: string } }[] | undefined) ?? [];
  const bundle = webhook?.clientConfig?.caBundle;
  if (bundle === undefined || bundle === '')
    throw new Finding('the webhook has no caBundle yet: the injector writes it when it starts');
  return certificates(Buffer.from(bundle, 'base64').toString(), `the caBundle of ${WEBHOOK_CONFIGURATION}`);
}

function certificates(pem: string, where: string): readonly X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw new Finding(`${where} holds no PEM certificate`);
  return blocks.map((block) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      throw new Finding(`${where} holds a certificate that cannot be read: ${reasonOf(error)}`);
    }
  });
}

function isUnschedulable(status: unknown): boolean {
  const { conditions = [] } = (status ?? {}) as { conditions?: { type: string; status: string; reason?: string }[] };
  return conditions.some(
    ({ type, status: value, reason }) => type === 'PodScheduled' && value === 'False' && reason === 'Unschedulable',
  );
}
