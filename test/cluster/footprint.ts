// `npm run test:cluster -- --footprint`: the memory and processor time of an idle installation, by control group and by proportional set size.
import { globSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { formatTable } from '../../cli/table.ts';
import { Mesh, namespaceYaml, serviceYaml } from '../harness/mesh.ts';
import { isRealKubernetes } from '../harness/test-bed.ts';

const MIB = 1024 * 1024;
const TICKS_PER_SECOND = 100; // USER_HZ, the same on every architecture of Linux that matters here

type Measurement = {
  readonly workingSetBytes: number; // of the pod's control group: what Kubernetes counts
  readonly pssBytes: number; // shared pages divided by how many share them
  readonly cpuSeconds: number;
};

/** Memory and processor time of all processes of a pod, by the machine's own /proc and control groups. */
function measure(uid: string): Measurement {
  const [group] = globSync(`/sys/fs/cgroup/memory/tulle-*/kubepods/**/pod${uid}`);
  if (group === undefined) throw new Error(`pod ${uid} has no control group`);
  const usage = Number(readFileSync(join(group, 'memory.usage_in_bytes'), 'utf8'));
  const inactive = /^total_inactive_file (\d+)$/m.exec(readFileSync(join(group, 'memory.stat'), 'utf8'))?.[1];
  let pssBytes = 0;
  let cpuSeconds = 0;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (!readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(`pod${uid}`)) continue;
      pssBytes += Number(/^Pss: +(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0) * 1024;
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
        .replace(/^.*\) /, '')
        .split(' ');
      cpuSeconds += (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
    } catch {
      // It has ended meanwhile.
    }
  }
  return { workingSetBytes: usage - Number(inactive ?? 0), pssBytes, cpuSeconds };
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { seconds: { type: 'string', default: '60' }, flags: { type: 'string' } } });
  if (!isRealKubernetes) throw new Error('this runs by `npm run test:cluster -- --footprint`');
  const seconds = Number(values.seconds);
  const flags = (values.flags ?? '').split(' ').filter((flag) => flag !== '');
  await using mesh = await Mesh.install(flags, { hasViz: true });
  await mesh.apply(namespaceYaml('idle', true));
  await mesh.apply(serviceYaml('idle', 'server', { args: ['server'], replicas: 1, ports: [8080] }));
  await mesh.ready('idle');
  const pods = [...(await mesh.pods('tulle')), ...(await mesh.pods('tulle-viz')), ...(await mesh.pods('idle'))];
  const before = new Map(pods.map(({ metadata }) => [metadata.name, measure(metadata.uid ?? '')]));
  await new Promise((resolve) => void setTimeout(resolve, seconds * 1000));
  const rows = pods.map(({ metadata }) => {
    const now = measure(metadata.uid ?? '');
    const used = now.cpuSeconds - (before.get(metadata.name)?.cpuSeconds ?? 0);
    return [
      `${metadata.namespace}/${metadata.name.replace(/-[a-z0-9]+-[a-z0-9]{5}$/, '')}`,
      `${(now.workingSetBytes / MIB).toFixed(0)} MiB`,
      `${(now.pssBytes / MIB).toFixed(0)} MiB`,
      `${((1000 * used) / seconds).toFixed(0)}m`,
    ];
  });
  process.stdout.write(`tulle install ${flags.join(' ')}, idle for ${seconds} s\n`);
  const right = { align: 'right' } as const;
  const columns = [{ title: 'POD' }, ...['WORKING SET', 'PSS', 'CPU'].map((title) => ({ title, ...right }))];
  process.stdout.write(formatTable(columns, rows));
}

await main();
