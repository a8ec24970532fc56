import { spawnSync } from 'node:child_process';
import { closeSync } from 'node:fs';

import { createNetns, inNetns } from '#netlink/namespace.ts';

import type { PodNetworks } from '../node-context.ts';

/** Point-to-point networks for tests, made with ip(8). */
export class TestNetworks implements PodNetworks {
  readonly #byUid = new Map<string, { netns: number; link: string }>();
  #count = 1;

  constructor(nodeIP: string) {
    ip('link', 'set', 'lo', 'up');
    ip('addr', 'replace', `${nodeIP}/32`, 'dev', 'lo');
  }

  create(podUid: string): { netns: number; netnsPath: string; ip: string } {
    this.#count += 1;
    const link = `p${this.#count}`;
    const address = `10.42.0.${this.#count}`;
    const netns = createNetns();
    const netnsPath = `/proc/${process.pid}/fd/${netns}`;
    ip('link', 'add', link, 'type', 'veth', 'peer', 'name', `${link}e`);
    inNetns(netns, () => ip('link', 'set', 'lo', 'up'));
    ip('link', 'set', `${link}e`, 'netns', netnsPath);
    inNetns(netns, () => {
      ip('addr', 'add', `${address}/32`, 'dev', `${link}e`);
      ip('link', 'set', `${link}e`, 'up');
      ip('route', 'add', '10.42.0.1/32', 'dev', `${link}e`);
      ip('route', 'add', 'default', 'via', '10.42.0.1');
    });
    ip('link', 'set', link, 'up');
    ip('route', 'add', `${address}/32`, 'dev', link, 'src', '10.42.0.1');
    this.#byUid.set(podUid, { netns, link });
    return { netns, netnsPath, ip: address };
  }

  remove(podUid: string): void {
    const network = this.#byUid.get(podUid);
    if (network === undefined) return;
    this.#byUid.delete(podUid);
    ip('link', 'del', network.link);
    closeSync(network.netns);
  }

  get size(): number {
    return this.#byUid.size;
  }
}

function ip(...args: string[]): void {
  const result = spawnSync('ip', args, { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`ip ${args.join(' ')}: ${result.stderr || String(result.error)}`);
}
