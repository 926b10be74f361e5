import { createServer } from 'node:http';

/**
 * In the place of a sidecar's image that this machine can't run, such as an OpenTelemetry collector: takes what is sent to the port of
 * its startup probe and to OTLP's ports, and throws it away.
 */
const { IMAGE, PROBED_PORT } = process.env;
/** OTLP over gRPC and over HTTP (OpenTelemetry, "OTLP exporter"). */
const OTLP = [4317, 4318];

console.log(`The local Cloud Run does not run ${IMAGE}: this process takes what is sent to it, and throws it away.`);
for (const port of new Set([Number(PROBED_PORT), ...OTLP].filter(one => one > 0))) {
  const server = createServer((request, response) => {
    request.resume();
    response.end('{}');
  });
  // Another instance's is there already: that one takes it as well.
  server.on('error', () => {});
  server.listen(port, '127.0.0.1');
}
// Without a port to listen on the process still keeps running.
setInterval(() => {}, 3_600_000);
process.once('SIGTERM', () => process.exit());
