// A WebSocket server on a port. It sends back what it gets, and closes with the code that a message "close CODE" asks for.
import { WebSocketServer } from 'ws';

const [port = '8080'] = process.argv.slice(2);

const server = new WebSocketServer({ port: Number(port), handleProtocols: (offered) => [...offered][0] ?? false });
server.on('connection', (socket, request) => {
  socket.send(`for ${String(request.headers['l5d-client-id'])}`);
  socket.on('message', (data: Buffer, isBinary) => {
    const asked = isBinary ? undefined : /^close (\d+)$/.exec(data.toString())?.[1];
    if (asked === undefined) socket.send(data, { binary: isBinary });
    else socket.close(Number(asked), 'as asked');
  });
  socket.on('close', (code, reason) => process.stdout.write(`closed ${code} ${reason.toString()}\n`));
});
process.on('SIGTERM', () => process.exit(0));
