// HTTP on 8080 as most applications have it: on SIGTERM it takes no more connections, answers what it has, and is gone.
import { createServer } from 'node:http';

const server = createServer((_request, response) => {
  setTimeout(() => response.end('hello\n'), 2);
});
server.keepAliveTimeout = 60_000;
server.listen(8080);
process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
