import { Agent, createServer, type IncomingMessage, request } from 'node:http';

/**
 * The limit for the backend: the least that `node:http` can do for the same two routes. It checks nothing, logs nothing,
 * gives up nothing. Run as a process: `PORT`, `OPENAI_BASE_URL`, `OPENAI_API_KEY`; prints `{"port": …}`.
 */

const base = new URL(`${process.env.OPENAI_BASE_URL ?? 'http://127.0.0.1:1/v1'}/chat/completions`);
const agent = new Agent({ keepAlive: true });

const server = createServer(async (req, res) => {
  if (req.url !== '/chat') {
    res.writeHead(200, { 'Content-Type': 'application/json' }).end('{"status":"ok"}');
    return;
  }
  const { message } = JSON.parse(await textOf(req)) as { message: string };
  const streams = req.headers.accept === 'text/event-stream';
  const asked = { model: 'gpt-3.5-turbo', messages: [{ role: 'user', content: message }], stream: streams };
  const body = JSON.stringify(asked);
  const upstream = request(base, {
    method: 'POST',
    agent,
    headers: {
      Authorization: `Bearer ${process.env.OPENAI_API_KEY}`,
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(body),
    },
  });
  upstream.on('response', async answer => {
    if (streams) {
      res.writeHead(200, { 'Content-Type': 'text/event-stream' });
      answer.pipe(res);
      return;
    }
    const { choices } = JSON.parse(await textOf(answer)) as { choices: { message: { content: string } }[] };
    const text = JSON.stringify({ response: choices[0]?.message.content });
    res.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) }).end(text);
  });
  upstream.end(body);
});
server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  const address = server.address();
  console.log(JSON.stringify({ port: typeof address === 'object' ? address?.port : undefined }));
});

async function textOf(stream: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
