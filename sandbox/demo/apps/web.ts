// The shop's front page: asks the catalog, and sends orders to the checkout.
import { hostname } from 'node:os';
import { getJson, sendJson, serveHttp } from './serve.ts';

const PORT = 8080;

serveHttp(PORT, {
  'GET /': async (_request, response) => {
    sendJson(response, 200, { from: hostname(), catalog: await getJson('http://catalog:8080/items') });
  },
  'POST /buy': async (request, response) => {
    request.resume();
    const answer = await fetch('http://checkout:8080/orders', {
      method: 'POST',
      body: '{"item":1}',
      signal: AbortSignal.timeout(10_000),
    });
    sendJson(response, answer.status, { from: hostname(), checkout: await answer.json() });
  },
});
