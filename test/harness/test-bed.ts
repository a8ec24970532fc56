import { linkSandboxes, sandboxLog, startSandbox, type Sandbox, type SandboxOptions } from '../../sandbox/sandbox.ts';

/** A cluster that scenarios run on. */
export type TestBed = {
  readonly kubeconfig: string; // path
  readonly stateDirectory: string;
  readonly nodeIP: string;
  /** The last lines of the cluster's own log. */
  readonly log: (lines: number) => string;
  readonly stop: () => Promise<void>;
};

/** Set by `npm run test:cluster`: OCI archives with the images of Tulle and of the tests, separated by colons. */
const { TULLE_TEST_IMAGES } = process.env;

/** Whether scenarios run on a real Kubernetes and not on the sandbox. */
export const isRealKubernetes = TULLE_TEST_IMAGES !== undefined;

const sandboxes = new WeakMap<TestBed, Sandbox>();
const reboots = new WeakMap<TestBed, () => Promise<void>>();

/** Starts a sandbox, or a real Kubernetes where `npm run test:cluster` runs the test. */
export async function startTestBed(options: Pick<SandboxOptions, 'podNetwork' | 'serviceNetwork'>): Promise<TestBed> {
  if (TULLE_TEST_IMAGES !== undefined) {
    const { startKubernetes } = await import('../cluster/kubernetes.ts');
    const { buildPrograms } = await import('../cluster/programs.ts');
    const programs = buildPrograms(() => undefined);
    const kubernetes = await startKubernetes(programs, TULLE_TEST_IMAGES.split(':'));
    reboots.set(kubernetes, kubernetes.reboot);
    return kubernetes;
  }
  const sandbox = await startSandbox(options);
  const bed = { ...sandbox, log: (lines: number): string => sandboxLog(sandbox.stateDirectory, lines) };
  sandboxes.set(bed, sandbox);
  return bed;
}

/** From now on each reaches the other's node. Real nodes of one machine always do. */
export async function linkTestBeds(a: TestBed, b: TestBed): Promise<void> {
  const [one, other] = [sandboxes.get(a), sandboxes.get(b)];
  if (one !== undefined && other !== undefined) await linkSandboxes(one, other);
}

/** Kills everything at once, as a power failure does, and starts it again. Only a real Kubernetes keeps its state. */
export async function rebootTestBed(bed: TestBed): Promise<void> {
  const reboot = reboots.get(bed);
  if (reboot === undefined) throw new Error('a sandbox keeps nothing that it could start again with');
  await reboot();
}
