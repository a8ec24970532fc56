// Sends requests when it is told to: POST to 9902 with `Order` as JSON answers `Report` as JSON when all are answered.
import { Agent, createServer, request as httpRequest } from 'node:http';

type Order = {
  readonly url: string;
  readonly count?: number; // of requests, default 1
  readonly rate?: number; // a second; absent: as fast as answers come, ten at a time
  readonly headers?: Readonly<Record<string, string>>;
  /** Replaced in the URL by the number of the request. */
  readonly counter?: string;
};

export type Report = {
  readonly statuses: Readonly<Record<string, number>>; // by status, or by what went wrong
  readonly bodies: Readonly<Record<string, number>>;
  readonly reasons: Readonly<Record<string, number>>; // l5d-proxy-error
  readonly slowestMs: number;
};

const AT_A_TIME = 10;
const ANSWER_MS = 15_000;
const agent = new Agent({ keepAlive: true, maxSockets: 20 });

function add(counts: Record<string, number>, key: string): void {
  counts[key] = (counts[key] ?? 0) + 1;
}

async function carryOut({ url, count = 1, rate, headers = {}, counter }: Order): Promise<Report> {
  const report = { statuses: {}, bodies: {}, reasons: {}, slowestMs: 0 };
  let sent = 0;
  const send = (): Promise<void> => {
    sent += 1;
    const target = counter === undefined ? url : url.replaceAll(counter, String(sent));
    const startedMs = performance.now();
    return new Promise((resolve) => {
      const done = (status: string): void => {
        add(report.statuses, status);
        report.slowestMs = Math.max(report.slowestMs, Math.round(performance.now() - startedMs));
        resolve();
      };
      const request = httpRequest(target, { agent, headers, timeout: ANSWER_MS }, (response) => {
        let body = '';
        response.on('data', (chunk: Buffer) => (body += chunk.toString()));
        response.on('end', () => {
          add(report.bodies, body.trim());
          const reason = response.headers['l5d-proxy-error'];
          if (reason !== undefined) add(report.reasons, String(reason));
          done(String(response.statusCode));
        });
        response.on('error', (error) => done(error.message));
      });
      request.on('timeout', () => request.destroy(new Error('timeout')));
      request.on('error', (error) => done(error.message));
      request.end();
    });
  };
  if (rate === undefined) {
    const work = async (): Promise<void> => {
      for (;;) {
        if (sent >= count) return;
        await send();
      }
    };
    await Promise.all(Array.from({ length: Math.min(AT_A_TIME, count) }, work));
  } else {
    const answers: Promise<void>[] = [];
    await new Promise<void>((resolve) => {
      const timer = setInterval(() => {
        answers.push(send());
        if (sent < count) return;
        clearInterval(timer);
        resolve();
      }, 1000 / rate);
    });
    await Promise.all(answers);
  }
  return report;
}

const server = createServer((request, response) => {
  let text = '';
  request.on('data', (chunk: Buffer) => (text += chunk.toString()));
  request.on('end', () => {
    carryOut(JSON.parse(text) as Order).then(
      (report) => response.end(JSON.stringify(report)),
      (error: unknown) => response.writeHead(400).end(String(error)),
    );
  });
});
server.requestTimeout = 0;
server.listen(9902);
process.on('SIGTERM', () => process.exit(0));
