import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { connect } from '../../cli/cluster.ts';
import { CLUSTER_FLAGS, CommandError, optionalText, textFlag, type Command } from '../../cli/command.ts';
import { metricsApiPod, VIZ_FLAGS } from './client.ts';
import { LocalDashboard, readPort } from './local-dashboard.ts';

/** Source: linkerd2 `viz/cmd/dashboard.go`. */
const PREFERRED_PORT = 50_750;

export const vizDashboard: Command = {
  path: ['viz', 'dashboard'],
  summary: 'Open the dashboard: topology, golden metrics, routes, live tap and configuration findings.',
  details: [
    `Serves the page on 127.0.0.1 until Ctrl-C, by default on port ${PREFERRED_PORT}, or on a free one where that is taken.`,
    'It reads through the Kubernetes API with the rights of your kubeconfig, and taps with them: see `tulle viz tap`.',
    'The address holds a key that others on this machine do not know; without it the page shows all but taps.',
  ].join('\n'),
  flags: {
    ...CLUSTER_FLAGS,
    'viz-namespace': VIZ_FLAGS['viz-namespace'],
    port: {
      type: 'string',
      short: 'p',
      value: 'PORT',
      help: `port on 127.0.0.1 (default: ${PREFERRED_PORT}, else a free one)`,
    },
    show: {
      type: 'string',
      value: 'WHAT',
      default: 'browser',
      choices: ['browser', 'url'],
      help: 'open a browser, or only print the address',
    },
  },
  examples: ['tulle viz dashboard', 'tulle viz dashboard --show url --port 8080'],
  run: async ({ flags, terminal }) => {
    const given = optionalText(flags, 'port');
    const port = given === undefined ? undefined : readPort(given);
    const cluster = await connect(flags);
    const key = randomBytes(16).toString('base64url');
    using dashboard = new LocalDashboard({ cluster, flags, key });
    try {
      await metricsApiPod(cluster, flags); // says at once what is missing
      const url = `http://127.0.0.1:${await listen(dashboard, port)}/#key=${key}`;
      terminal.out(`${url}\n`);
      terminal.err('The dashboard is served until Ctrl-C.\n');
      if (textFlag(flags, 'show') === 'browser')
        openBrowser(url, () => terminal.err('No browser could be opened: open the address above.\n'));
      await new Promise<void>((resolve) => {
        for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve());
      });
      return 0;
    } finally {
      cluster.close();
    }
  },
};

/** @param port  absent: the usual one, or any when that is taken */
async function listen(dashboard: LocalDashboard, port: number | undefined): Promise<number> {
  try {
    return await dashboard.listen(port ?? PREFERRED_PORT);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE' && port === undefined) return dashboard.listen(0);
    throw new CommandError(
      code === 'EADDRINUSE'
        ? `port ${port} is in use: choose another --port, or leave it out for a free one`
        : `cannot listen on port ${port ?? PREFERRED_PORT} (${message}): choose another --port`,
    );
  }
}

function openBrowser(url: string, onFailure: () => void): void {
  const child = spawn('xdg-open', [url], { stdio: 'ignore', detached: true });
  child.once('error', onFailure);
  child.once('exit', (code) => {
    if (code !== 0) onFailure();
  });
  child.unref();
}
