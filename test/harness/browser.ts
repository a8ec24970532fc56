import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { WebSocket } from 'ws';
import { until } from './until.ts';

const PROGRAMS = ['chromium', 'chromium-browser', 'google-chrome'];
const START_MS = 60_000;
const WAIT_MS = 60_000;

/** The Chromium of this machine, or undefined. */
export function chromium(): string | undefined {
  return PROGRAMS.find((program) => spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0);
}

type Answer = { readonly id?: number; readonly method?: string; readonly params?: unknown } & {
  readonly result?: unknown;
  readonly error?: { readonly message: string };
};

/** One page in a headless Chromium, driven by its DevTools protocol. */
export class Browser implements AsyncDisposable {
  /** What the page itself complained of: exceptions, refused resources, lines of its console. */
  readonly complaints: string[] = [];
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #id = 0;
  #session: string | undefined;

  private constructor(child: ChildProcess, folder: string, socket: WebSocket) {
    this.#child = child;
    this.#folder = folder;
    this.#socket = socket;
    socket.on('message', (data: Buffer) => this.#receive(JSON.parse(data.toString()) as Answer));
  }

  /** @param program  as `chromium()` found it */
  static async start(program: string, size = { width: 1440, height: 1000 }): Promise<Browser> {
    const folder = mkdtempSync(join(tmpdir(), 'tulle-browser-'));
    const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run'];
    const window = `--window-size=${size.width},${size.height}`;
    const child = spawn(program, [...flags, window, '--remote-debugging-port=0', `--user-data-dir=${folder}`], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const socket = new WebSocket(await debuggerUrl(child));
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    const browser = new Browser(child, folder, socket);
    const { targetId } = (await browser.send('Target.createTarget', { url: 'about:blank' })) as { targetId: string };
    const attached = await browser.send('Target.attachToTarget', { targetId, flatten: true });
    browser.#session = (attached as { sessionId: string }).sessionId;
    for (const domain of ['Page', 'Runtime', 'Log']) await browser.send(`${domain}.enable`);
    return browser;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => void this.#child.once('close', resolve));
    this.#socket.terminate();
    this.#child.kill('SIGKILL');
    await ended;
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }

  async open(url: string): Promise<void> {
    await this.send('Page.navigate', { url });
  }

  /** The value of an expression in the page. */
  async evaluate(expression: string): Promise<unknown> {
    const answer = (await this.send('Runtime.evaluate', { expression, returnByValue: true, awaitPromise: true })) as {
      result: { value?: unknown };
      exceptionDetails?: { text: string; exception?: { description?: string } };
    };
    const { exceptionDetails } = answer;
    if (exceptionDetails !== undefined)
      throw new Error(`${expression}: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
    return answer.result.value;
  }

  /** The text that the page shows. */
  async text(): Promise<string> {
    return String(await this.evaluate('document.body?.innerText ?? ""'));
  }

  /** Waits until the page shows this; fails with what it shows instead. */
  async shows(pattern: RegExp): Promise<string> {
    let text = '';
    await until(`the page to show ${pattern}`, WAIT_MS, async () => pattern.test((text = await this.text()))).catch(
      (error: unknown) => {
        throw new Error(`the page shows:\n${text}\n${this.complaints.join('\n')}`, { cause: error });
      },
    );
    return text;
  }

  /** @returns PNG */
  async screenshot(): Promise<Buffer> {
    const { data } = (await this.send('Page.captureScreenshot')) as { data: string };
    return Buffer.from(data, 'base64');
  }

  /** Sends a command of the DevTools protocol to the page. */
  async send(method: string, params: object = {}): Promise<unknown> {
    const id = ++this.#id;
    const session = this.#session === undefined ? {} : { sessionId: this.#session };
    const answer = await new Promise<Answer>((resolve) => {
      this.#waiting.set(id, resolve);
      this.#socket.send(JSON.stringify({ id, method, params, ...session }));
    });
    if (answer.error !== undefined) throw new Error(`${method}: ${answer.error.message}`);
    return answer.result;
  }

  #receive(answer: Answer): void {
    if (answer.id !== undefined) {
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    } else if (
      answer.method === 'Runtime.exceptionThrown' ||
      answer.method === 'Runtime.consoleAPICalled' ||
      answer.method === 'Log.entryAdded'
    ) {
      this.complaints.push(JSON.stringify(answer.params));
    }
  }
}

function debuggerUrl(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`Chromium did not start within ${START_MS / 1000} s`)), START_MS);
    const lines: string[] = [];
    if (child.stderr === null) throw new Error('Chromium was started without its stderr');
    createInterface({ input: child.stderr }).on('line', (line) => {
      lines.push(line);
      const url = /^DevTools listening on (ws:\S+)$/.exec(line)?.[1];
      if (url === undefined) return;
      clearTimeout(timer);
      resolve(url);
    });
    child.once('close', () => reject(new Error(`Chromium ended at once:\n${lines.slice(-5).join('\n')}`)));
  });
}
