import { setTimeout as sleep } from 'node:timers/promises';
import { SERVICE_PORTS } from '../bench/service.ts';
import { ENDPOINTS_MIN, type Mesh } from './mesh.ts';
import { PORTS, type Misbehaviour } from './backends.ts';
import { FAULTS, type Fault, type FaultKind } from './faults.ts';

const FAULT_MS = 3_000;
const OUTAGE_MS = 8_000; // of the control plane
const CALM_MS = 4_000; // between two faults
const INBOUND_PORT = 4143;

/** Does one thing after another to a mesh, in an order that chance decides, and notes when. */
export class Mischief {
  readonly faults: Fault[] = [];
  readonly #mesh: Mesh;
  readonly #random: () => number;
  #order: FaultKind[] = [];

  constructor(mesh: Mesh, random: () => number) {
    this.#mesh = mesh;
    this.#random = random;
  }

  /** Until the time has come; what is under way then is brought to its end. */
  async run(untilMs: number): Promise<void> {
    while (performance.now() < untilMs) {
      if (this.#order.length === 0) this.#order = shuffled(FAULTS, this.#random);
      const kind = this.#order.pop()!;
      const fromMs = performance.now();
      await this.#do(kind);
      this.faults.push({ kind, fromMs, untilMs: performance.now() });
      await sleep(CALM_MS);
    }
  }

  async #do(kind: FaultKind): Promise<void> {
    const { client, server } = this.#mesh.place;
    const { backends } = this.#mesh;
    const backend = backends[Math.floor(this.#random() * backends.length)]!;
    switch (kind) {
      case 'refuse':
      case 'reset':
      case 'truncate':
      case 'stall':
        await this.#misbehave(backend, kind);
        break;
      case 'kill':
        await backend.kill();
        await sleep(FAULT_MS);
        await backend.start();
        break;
      case 'cut-mesh':
        await this.#mesh.cut(client, INBOUND_PORT);
        for (const port of applicationPorts(backends.length)) await this.#mesh.cut(client, port);
        break;
      case 'cut-clients':
        for (const port of Object.values(SERVICE_PORTS)) await this.#mesh.cut(client, port);
        break;
      case 'cut-applications':
        for (const port of applicationPorts(backends.length)) await this.#mesh.cut(server, port);
        break;
      case 'control-plane': {
        const restart = await this.#mesh.stopControlPlane();
        await sleep(OUTAGE_MS);
        await restart();
        break;
      }
      case 'endpoints': {
        const numbers = shuffled(
          backends.map(({ number }) => number),
          this.#random,
        );
        const count = ENDPOINTS_MIN + Math.floor(this.#random() * (numbers.length - ENDPOINTS_MIN + 1));
        this.#mesh.setEndpoints(numbers.slice(0, count));
        await sleep(FAULT_MS);
      }
    }
  }

  async #misbehave(backend: { misbehaviour: Misbehaviour | undefined }, how: Misbehaviour): Promise<void> {
    backend.misbehaviour = how;
    await sleep(FAULT_MS);
    backend.misbehaviour = undefined;
  }
}

function applicationPorts(count: number): readonly number[] {
  return Object.values(PORTS).flatMap((port) => Array.from({ length: count }, (_, number) => port + number));
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const order = items.map((item) => [random(), item] as const);
  return order.sort(([left], [right]) => left - right).map(([, item]) => item);
}
