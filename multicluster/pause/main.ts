// The container beside the gateway's proxy: a pod must have one, and the proxy is a sidecar. It does nothing until it is ended.
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(0));
setInterval(() => {}, 2 ** 30);
