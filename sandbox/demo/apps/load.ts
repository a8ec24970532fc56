// The shop's visitors: look at the page ten times a second and buy something twice a second, or with `load HOST PATH` only
// look at that. Prints one line for what went wrong.
import { Agent, request } from 'node:http';

const agent = new Agent({ keepAlive: true, maxSockets: 16 });

const [host = 'web', page] = process.argv.slice(2);

function visit(method: string, path: string): void {
  const sent = request({ agent, host, port: 8080, method, path, timeout: 10_000 }, (response) => {
    response.resume();
    if ((response.statusCode ?? 0) >= 500 && response.statusCode !== 503)
      report(method, path, `status ${response.statusCode}`);
  });
  sent.on('timeout', () => sent.destroy(new Error('no answer within 10 s')));
  sent.on('error', (error) => report(method, path, error.message));
  sent.end();
}

function report(method: string, path: string, problem: string): void {
  process.stdout.write(`${new Date().toISOString()} ${method} ${path}: ${problem}\n`);
}

setInterval(() => visit('GET', page ?? '/'), 100);
if (page === undefined) setInterval(() => visit('POST', '/buy'), 500);
process.on('SIGTERM', () => process.exit(0));
