import { CommandError } from '../../cli/command.ts';
import { check } from '../../cli/commands/check.ts';
import { fetchThrough } from '../../cli/pod-http.ts';
import { vizEdges } from '../../viz/cli/edges.ts';
import { vizStat } from '../../viz/cli/stat.ts';
import { vizTap } from '../../viz/cli/tap.ts';
import { vizTop } from '../../viz/cli/top.ts';
import type { Stage } from './stage.ts';

const PROXY_ADMIN_PORT = 4191;
const ORDERS = ['100', 'POST', 'http://checkout:8080/orders'];
const ITEMS = ['200', 'http://catalog:8080/items'];

/** Shows on the running shop what a mesh does for its people. Each step is true, or the demo fails. */
export async function tourShop(stage: Stage): Promise<void> {
  stage.say('Is everything as it should be?');
  await stage.tulle(check, ['--proxy', '--wait', '30s', '-o', 'short'], /√/);

  stage.say('Who does what, how well, and who talks to whom: measured by the proxies, all of it with mutual TLS.');
  await stage.tulle(vizStat, ['deploy', '-n', 'shop'], /^checkout .*%/m);
  await stage.tulle(vizEdges, ['deploy', '-n', 'shop', '-o', 'wide'], /^web +checkout .*√/m);

  stage.say('Single requests while they happen, and the busiest paths.');
  const orders = ['deploy/checkout', '-n', 'shop', '--path', '/orders', '--limit', '1']; // no probes of the kubelet
  await stage.tulle(vizTap, orders, /^req .*tls=true.*:path=\/orders/m);
  await stage.tulle(vizTop, ['deploy/web', '-n', 'shop', '--hide-sources', '--once', '--duration', '2'], / \d+%?/);

  await hideFailures(stage);
  await splitTraffic(stage);
  await denyStrangers(stage);
}

/** One order in ten fails; with retries the client notices nothing, though the server goes on failing. */
async function hideFailures(stage: Stage): Promise<void> {
  stage.say('One order in ten fails at the checkout. A route with retries hides that from its clients:');
  await stage.ask('shop', 'web', ORDERS, (answer) => /\d+ × 503/.test(answer));
  await stage.apply('retry.yaml');
  await stage.ask('shop', 'web', ORDERS, (answer) => answer.startsWith('100 requests: 100 × 201\n'));
  const retries = await savedByRetries(stage);
  if (retries === 0) throw new CommandError('no order failed at the checkout, so no retry was shown');
  stage.say(
    `The checkout still fails one in ten: the client's proxy has sent ${retries} orders once more, successfully.`,
  );
  const stat = ['deploy/checkout', '-n', 'shop'];
  const lessThanAll = /^checkout .* \d\d\.\d\d%/m;
  await stage.waitFor(vizStat, stat, lessThanAll);
  await stage.tulle(vizStat, stat, lessThanAll);
}

/** Orders that a retry of the front page's proxy has saved. */
async function savedByRetries(stage: Stage): Promise<number> {
  const pod = await stage.podOf('shop', 'web');
  const metrics = await fetchThrough(stage.cluster, 'shop', pod, PROXY_ADMIN_PORT, '/metrics');
  return metrics
    .split('\n')
    .filter((line) => line.startsWith('outbound_http_route_retry_successes_total{') && line.includes('="checkout"'))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

/** A share of the requests goes to another version. */
async function splitTraffic(stage: Stage): Promise<void> {
  stage.say('A new version of the catalog gets one request in ten:');
  await stage.apply('split.yaml');
  await stage.ask('shop', 'web', ITEMS, (answer) => {
    const [, old = '0', fresh = '0'] = /(\d+) × catalog, (\d+) × catalog-v2$/m.exec(answer) ?? [];
    // Six standard deviations around 20 of 200: chance does not fail the demo, a wrong share does.
    return Number(old) + Number(fresh) === 200 && Number(fresh) > 0 && Number(fresh) < 46;
  });
}

/** Identities decide who gets in, and who does not learns why. */
async function denyStrangers(stage: Stage): Promise<void> {
  stage.say('Only the front page may send orders. Others are told which object denied them:');
  await stage.apply('deny.yaml');
  const order = ['1', 'POST', 'http://checkout:8080/orders'];
  await stage.ask('shop', 'load', order, (answer) => /^403 l5d-proxy-error: unauthorized: .*checkout/.test(answer));
  await stage.ask('shop', 'web', order, (answer) => answer.startsWith('201\n'));
}
