import { join } from 'node:path';
import { connect } from '../../cli/cluster.ts';
import { linkSandboxes, sandboxLog, startSandbox, type Sandbox, type SandboxOptions } from '../../sandbox/sandbox.ts';
import { PREVIOUS_IMAGE, previousCheckout, previousImage } from './previous-build.ts';
import { until } from './until.ts';

const POWER_MS = 30_000;

/** A cluster that scenarios run on. */
export type TestBed = {
  readonly kubeconfig: string; // path
  readonly stateDirectory: string;
  readonly nodeIP: string;
  /** The last lines of the cluster's own log. */
  readonly log: (lines: number) => string;
  readonly stop: () => Promise<void>;
};

export type TestBedOptions = Pick<SandboxOptions, 'podNetwork' | 'serviceNetwork'> & {
  readonly hasPreviousBuild?: boolean; // its image is there too, under the name `PREVIOUS_IMAGE`
};

/** Set by `npm run test:cluster`: OCI archives with the images of Tulle and of the tests, separated by colons. */
const { TULLE_TEST_IMAGES } = process.env;

/** Whether scenarios run on a real Kubernetes and not on the sandbox. */
export const isRealKubernetes = TULLE_TEST_IMAGES !== undefined;

const sandboxes = new WeakMap<TestBed, Sandbox>();
const reboots = new WeakMap<TestBed, Reboot>();

/** Starts a sandbox, or a real Kubernetes where `npm run test:cluster` runs the test. */
export async function startTestBed({ hasPreviousBuild = false, ...options }: TestBedOptions): Promise<TestBed> {
  if (TULLE_TEST_IMAGES !== undefined) {
    const { startKubernetes } = await import('../cluster/kubernetes.ts');
    const { buildPrograms } = await import('../cluster/programs.ts');
    const programs = buildPrograms(() => undefined);
    const images = [...TULLE_TEST_IMAGES.split(':'), ...(hasPreviousBuild ? [previousImage()] : [])];
    const kubernetes = await startKubernetes(programs, images);
    reboots.set(kubernetes, kubernetes.reboot);
    return kubernetes;
  }
  const images = hasPreviousBuild ? { [PREVIOUS_IMAGE]: join(previousCheckout(), 'dist') } : {};
  const sandbox = await startSandbox({ ...options, images });
  const bed = { ...sandbox, log: (lines: number): string => sandboxLog(sandbox.stateDirectory, lines) };
  sandboxes.set(bed, sandbox);
  reboots.set(bed, (random, whileDown) => rebootSandbox(sandbox.kubeconfig, random, whileDown));
  return bed;
}

/** From now on each reaches the other's node. Real nodes of one machine always do. */
export async function linkTestBeds(a: TestBed, b: TestBed): Promise<void> {
  const [one, other] = [sandboxes.get(a), sandboxes.get(b)];
  if (one !== undefined && other !== undefined) await linkSandboxes(one, other);
}

/**
 * Kills everything at once, as a power failure does, and starts it again with what was stored. Resolves when everything
 * has been started, which is long before it is ready: the next power failure may come at any time.
 *
 * @param random     numbers in [0, 1): what starts when
 * @param whileDown  runs when the API server answers and no pod runs yet
 */
export async function rebootTestBed(
  bed: TestBed,
  random: () => number,
  whileDown?: () => Promise<void>,
): Promise<void> {
  await reboots.get(bed)?.(random, whileDown);
}

type Reboot = (random: () => number, whileDown?: () => Promise<void>) => Promise<void>;

/** The API server of a sandbox stays: it has no disk that it could start again from. */
async function rebootSandbox(
  kubeconfig: string,
  random: () => number,
  whileDown: (() => Promise<void>) | undefined,
): Promise<void> {
  const cluster = await connect({ kubeconfig });
  const path = '/api/v1/nodes/sandbox';
  const follow = async (power: string, isDone: (status: NodeStatus) => boolean): Promise<void> => {
    const body = { metadata: { annotations: { 'sandbox.tulle.dev/power': power } } };
    await cluster.request('PATCH', path, body, 'application/merge-patch+json');
    await until(`the node's power: ${power}`, POWER_MS, async () => {
      const { status } = (await cluster.get(path)) as unknown as { readonly status: NodeStatus };
      return isDone(status);
    });
  };
  try {
    if (whileDown !== undefined) {
      await follow('off', ({ conditions }) =>
        conditions.some(({ type, status }) => type === 'Ready' && status !== 'True'),
      );
      await whileDown();
    }
    const seed = String(Math.floor(random() * 2 ** 32));
    await follow(seed, ({ nodeInfo }) => nodeInfo.bootID === seed);
  } finally {
    cluster.close();
  }
}

type NodeStatus = {
  readonly conditions: readonly { readonly type: string; readonly status: string }[];
  readonly nodeInfo: { readonly bootID: string };
};
