// A host outside of the cluster: HTTP on 8080, TLS on 8443 and bytes on 9000, each answering with the name it was asked for.
import { createServer as createHttp } from 'node:http';
import { createServer as createTcp } from 'node:net';
import { createServer as createTls } from 'node:tls';
import { createTestAuthority, tlsOptions } from '#pki/testing.ts';

const [name = 'outside'] = process.argv.slice(2);

createHttp((request, response) => response.end(`${name} is ${request.headers.host}`)).listen(8080);
createTls(tlsOptions(createTestAuthority().leaf('outside.test')), (socket) => {
  socket.on('error', () => socket.destroy());
  socket.end(`${name} is ${socket.servername || 'nobody'}`);
}).listen(8443);
createTcp((socket) => {
  socket.on('error', () => socket.destroy());
  socket.end(name);
}).listen(9000);
process.on('SIGTERM', () => process.exit(0));
