import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * A model that costs next to nothing, so that what is measured is the backend and not its stand-in: one fixed answer after
 * `LATENCY_MS` (default 0), or as `CHUNKS` (default 100) events. Run as a process; prints `{"port": …}`.
 */

const latencyMs = Number(process.env.LATENCY_MS ?? 0);
const chunks = Number(process.env.CHUNKS ?? 100);
const common = { id: 'chatcmpl-1', created: 1_700_000_000, model: 'gpt-3.5-turbo' };
const answer = JSON.stringify({
  ...common,
  object: 'chat.completion',
  choices: [{ index: 0, message: { role: 'assistant', content: 'Good day to you, caller.' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 9, completion_tokens: 7, total_tokens: 16 },
});
const event = (delta: object, finish: string | null) =>
  `data: ${JSON.stringify({ ...common, object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
const piece = event({ content: 'word ' }, null);
const end = `${event({}, 'stop')}data: [DONE]\n\n`;

const server = createServer((req, res) => {
  let streams = false;
  req.on('data', (bytes: Buffer) => {
    streams ||= bytes.includes('"stream":true');
  });
  req.on('end', async () => {
    if (latencyMs > 0) await sleep(latencyMs);
    if (!streams) {
      res
        .writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(answer) })
        .end(answer);
      return;
    }
    res.writeHead(200, { 'Content-Type': 'text/event-stream' });
    for (let i = 0; i < chunks; i++) res.write(piece);
    res.end(end);
  });
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  console.log(JSON.stringify({ port: typeof address === 'object' ? address?.port : undefined }));
});
