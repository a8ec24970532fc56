// Sends requests at a constant rate until SIGTERM, then prints one JSON line with what came back. A request that fails is
// never tried again here: every loss must show.
import { Agent, request } from 'node:http';

const [url = '', rateText = '50', connectionsText = '8'] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true, maxSockets: Number(connectionsText), scheduling: 'fifo' });
const results = {
  sent: 0,
  ok: 0,
  failed: 0,
  reasons: {} as Record<string, number>,
  startedAt: new Date().toISOString(),
};
let inFlight = 0;

function fail(reason: string): void {
  results.failed += 1;
  results.reasons[reason] = (results.reasons[reason] ?? 0) + 1;
  process.stdout.write(`${JSON.stringify({ at: new Date().toISOString(), failed: reason })}\n`);
}

function send(): void {
  results.sent += 1;
  inFlight += 1;
  let isDone = false;
  const finish = (reason: string | undefined): void => {
    if (isDone) return;
    isDone = true;
    inFlight -= 1;
    if (reason === undefined) results.ok += 1;
    else fail(reason);
  };
  const sent = request(url, { agent, timeout: 15_000 }, (response) => {
    response.resume();
    response.on('end', () =>
      finish(
        response.statusCode === 200
          ? undefined
          : `status ${response.statusCode} ${String(response.headers['l5d-proxy-error'] ?? '')}`.trim(),
      ),
    );
    response.on('error', (error) => finish(`response ${error.message}`));
  });
  sent.on('timeout', () => sent.destroy(new Error('timeout')));
  sent.on('error', (error: NodeJS.ErrnoException) => finish(error.code ?? error.message));
  sent.end();
}

const timer = setInterval(send, 1000 / Number(rateText));
process.on('SIGTERM', () => {
  clearInterval(timer);
  const end = setInterval(() => {
    if (inFlight > 0) return;
    clearInterval(end);
    process.stdout.write(`${JSON.stringify({ summary: results })}\n`, () => process.exit(0));
  }, 10);
});
setInterval(() => process.stdout.write(`${JSON.stringify({ progress: { ...results, inFlight } })}\n`), 1000);
