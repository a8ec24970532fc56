// The shop's checkout: every tenth order fails, so that there is something to see.
import { hostname } from 'node:os';
import { sendJson, serveHttp } from './serve.ts';
import { StoreClient } from './store-client.ts';

const PORT = 8080;
const FAILURE_EVERY = 10;
const store = new StoreClient('store', 7000);
let count = 0;

serveHttp(PORT, {
  'POST /orders': async (request, response) => {
    request.resume();
    count += 1;
    if (count % FAILURE_EVERY === 0) {
      sendJson(response, 503, { error: 'the payment provider is having a bad moment' });
      return;
    }
    const order = await store.ask('INCR orders');
    sendJson(response, 201, { from: hostname(), order: Number(order.replace('VALUE ', '')) });
  },
});
