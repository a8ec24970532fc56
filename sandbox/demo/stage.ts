import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type ApiObject, type Cluster } from '../../cli/cluster.ts';
import { CommandError, parseFlags, type Command, type Terminal } from '../../cli/command.ts';
import { applyAll, readManifests } from './apply.ts';
import { execute } from './exec.ts';

/** Changes need a moment until every proxy has them. */
const EFFECT_TIMEOUT_MS = 30_000;
const RETRY_MS = 250;
/** Longer than any command of the demo looks at traffic. */
const COMMAND_TIMEOUT_MS = 60_000;

export type StageOptions = {
  readonly terminal: Terminal;
  readonly kubeconfig: string;
  readonly context?: string; // named in what is printed; absent where there is one cluster only
};

/** One cluster of the demo and the terminal on which things are done to it, printed as a person would type them. */
export class Stage implements Disposable {
  readonly cluster: Cluster;
  readonly #options: StageOptions;

  private constructor(options: StageOptions, cluster: Cluster) {
    this.#options = options;
    this.cluster = cluster;
  }

  static async open(options: StageOptions): Promise<Stage> {
    const { kubeconfig, context } = options;
    return new Stage(options, await connect({ kubeconfig, context }));
  }

  [Symbol.dispose](): void {
    this.cluster.close();
  }

  /** What the next lines are about. */
  say(text: string): void {
    const { terminal } = this.#options;
    terminal.out(terminal.isColoured ? `\n\u001b[1m# ${text}\u001b[0m\n` : `\n# ${text}\n`);
  }

  /** Runs a command of the real command line. @throws CommandError  when it fails, or shows nothing of what is expected */
  async tulle(command: Command, argv: readonly string[], expected = /(?:)/): Promise<void> {
    const { terminal } = this.#options;
    const line = this.#line('tulle', command, argv);
    terminal.out(`$ ${line}\n`);
    const said = await this.#run(command, argv, terminal.out);
    if (!expected.test(said)) throw new CommandError(`\`${line}\` does not show what it should (${expected.source})`);
  }

  /**
   * Runs a command, silently and again, until it shows what is expected: measurements arrive with the next scrape of the metrics.
   *
   * @throws CommandError  with what it showed last, when it did not in time
   */
  async waitFor(command: Command, argv: readonly string[], expected: RegExp): Promise<void> {
    const deadlineMs = performance.now() + EFFECT_TIMEOUT_MS;
    for (;;) {
      const said = await this.output(command, argv);
      if (expected.test(said)) return;
      if (performance.now() > deadlineMs)
        throw new CommandError(
          `\`${this.#line('tulle', command, argv)}\` does not show what it should (${expected.source}): ${said.trim()}`,
        );
      await sleep(RETRY_MS);
    }
  }

  /** Applies what a command prints, in another cluster or in this one. */
  async pipe(command: Command, argv: readonly string[], to: Stage): Promise<void> {
    this.#options.terminal.out(`$ ${this.#line('tulle', command, argv)} |\n    ${to.#kubectl('apply -f -')}\n`);
    await to.#apply(await this.output(command, argv));
  }

  /** What a command prints, which is not shown. */
  output(command: Command, argv: readonly string[]): Promise<string> {
    return this.#run(command, argv, () => undefined);
  }

  /** Applies a file beside this one. */
  async apply(file: string): Promise<void> {
    this.#options.terminal.out(`$ ${this.#kubectl(`apply -f sandbox/demo/${file}`)}\n`);
    await this.#apply(demoFile(file));
  }

  async label(
    kind: 'service',
    namespace: string,
    name: string,
    labels: Readonly<Record<string, string>>,
  ): Promise<void> {
    const list = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
    this.#options.terminal.out(`$ ${this.#kubectl(`label ${kind} -n ${namespace} ${name} ${list.join(' ')}`)}\n`);
    const path = `/api/v1/namespaces/${namespace}/${kind}s/${name}`;
    await this.cluster.request('PATCH', path, { metadata: { labels } }, 'application/merge-patch+json');
    this.#options.terminal.out(`${kind}/${name} labeled\n`);
  }

  /**
   * Lets a pod of a Deployment send requests, again until the answer is as expected, and prints that answer.
   *
   * @param request  arguments of `apps/ask.ts`
   * @throws CommandError  with the last answer, when none was as expected in time
   */
  async ask(
    namespace: string,
    deployment: string,
    request: readonly string[],
    isExpected: (answer: string) => boolean,
  ): Promise<void> {
    const command = ['node', 'demo-ask.cjs', ...request];
    const { kubeconfig: file, context, terminal } = this.#options;
    terminal.out(`$ ${this.#kubectl(`exec -n ${namespace} deploy/${deployment} -- ${command.join(' ')}`)}\n`);
    const deadlineMs = performance.now() + EFFECT_TIMEOUT_MS;
    for (;;) {
      const place = { namespace, pod: await this.podOf(namespace, deployment), container: deployment };
      const answer = await execute({ file, context, environment: {} }, place, command);
      if (isExpected(answer)) {
        terminal.out(answer);
        return;
      }
      if (performance.now() > deadlineMs)
        throw new CommandError(
          `${deployment} still gets another answer than expected after ${EFFECT_TIMEOUT_MS / 1000} s: ${answer.trim()}`,
        );
      await sleep(RETRY_MS);
    }
  }

  /** A running pod of a Deployment whose pods are labelled with its name. */
  async podOf(namespace: string, deployment: string): Promise<string> {
    const pods = await this.cluster.list(`/api/v1/namespaces/${namespace}/pods?labelSelector=app%3D${deployment}`);
    const pod = pods.find((one) => one.metadata.deletionTimestamp === undefined && isRunning(one));
    if (pod === undefined) throw new CommandError(`no pod of ${namespace}/${deployment} runs`);
    return pod.metadata.name;
  }

  async #apply(yaml: string): Promise<void> {
    const objects = readManifests(yaml);
    await applyAll(this.cluster, objects);
    for (const { apiVersion, kind, metadata } of objects) {
      const group = apiVersion.includes('/') ? `.${apiVersion.split('/')[0]}` : '';
      this.#options.terminal.out(`${kind.toLowerCase()}${group}/${metadata.name} applied\n`);
    }
  }

  /** @returns what the command wrote */
  async #run(command: Command, argv: readonly string[], out: (text: string) => void): Promise<string> {
    const { terminal, kubeconfig, context } = this.#options;
    const cluster = ['--kubeconfig', kubeconfig, ...(context === undefined ? [] : ['--context', context])];
    const { flags, args } = parseFlags(command, 'kubeconfig' in command.flags ? [...argv, ...cluster] : argv);
    let said = '';
    const write = (text: string): void => {
      said += text;
      out(text);
    };
    const name = `\`tulle ${command.path.join(' ')}\``;
    const late = new AbortController();
    const timeout = sleep(COMMAND_TIMEOUT_MS, -1, { signal: late.signal }).catch(() => 0);
    const code = await Promise.race([command.run({ flags, args, terminal: { ...terminal, out: write } }), timeout]);
    late.abort();
    if (code === -1) throw new CommandError(`${name} did not end within ${COMMAND_TIMEOUT_MS / 1000} s`);
    if (code !== 0) throw new CommandError(`${name} ended with status ${code}`);
    return said;
  }

  #line(program: string, command: Command, argv: readonly string[]): string {
    const { context } = this.#options;
    const place = context === undefined || !('kubeconfig' in command.flags) ? [] : ['--context', context];
    return [program, ...command.path, ...place, ...argv].join(' ');
  }

  #kubectl(text: string): string {
    const { context } = this.#options;
    return `kubectl ${context === undefined ? '' : `--context ${context} `}${text}`;
  }
}

/** The text of a file beside this one. */
export function demoFile(name: string): string {
  return readFileSync(join(import.meta.dirname, name), 'utf8');
}

function isRunning(pod: ApiObject): boolean {
  return (pod['status'] as { phase?: string } | undefined)?.phase === 'Running';
}
