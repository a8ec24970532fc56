// HTTP on 8080 that fails as it is asked to, counts what arrives, and says so on 9901.
//   /flaky/KEY  503 twice for each key, then 200      /broken  always 503
//   /slow       no answer for 10 s                    /pod     the name of the pod
//   else        the name given as first argument, 500 while broken
// 9901: GET / gives the requests by path, POST /broken and POST /fine switch.
import { createServer } from 'node:http';
import { hostname } from 'node:os';

const [name = 'flaky'] = process.argv.slice(2);
const counts: Record<string, number> = {};
let isBroken = false;
let isEnding = false;

const server = createServer((request, response) => {
  const path = request.url ?? '/';
  const count = (counts[path] = (counts[path] ?? 0) + 1);
  if (isEnding) response.setHeader('connection', 'close');
  request.resume();
  request.on('end', () => {
    const [, verb = ''] = path.split('/');
    response.setHeader('x-seen-client-id', request.headers['l5d-client-id'] ?? 'none');
    if (verb === 'slow') setTimeout(() => response.end(`${name}\n`), 10_000);
    else if (verb === 'broken' || (verb === 'flaky' && count < 3)) response.writeHead(503).end('not now\n');
    else if (verb.startsWith('pod')) response.end(`${hostname()}\n`);
    else if (isBroken) response.writeHead(500).end('broken\n');
    else response.end(`${name}\n`);
  });
});
server.keepAliveTimeout = 60_000;
server.listen(8080);

createServer((request, response) => {
  if (request.method === 'POST') isBroken = request.url === '/broken';
  response.end(JSON.stringify(counts));
}).listen(9901);

// Endpoints and rules still name this pod for a moment after SIGTERM: serve on until they do not.
process.on('SIGTERM', () => {
  isEnding = true;
  setTimeout(() => {
    server.close(() => process.exit(0));
    server.closeIdleConnections();
    setTimeout(() => process.exit(0), 5_000).unref();
  }, 1_500);
});
