import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A wire between a client and a server that can go wrong in the ways wires do. */
export interface TcpProxy {
  url: string;
  /** Connections made since the start. */
  connections(): number;
  /** The connections there are carry nothing any more, and neither end hears of it. New ones are fine. */
  blackHole(): void;
  /** The server's end of each connection goes, and the client doesn't hear of it. New ones are fine. */
  halfOpen(): void;
  /** Each connection is ended by the server's side, with a FIN. */
  finish(): void;
  /** Each connection is reset. */
  reset(): void;
  /** Nothing gets through, new connections included, until what this returns is called; then all of it does. */
  stall(): () => void;
  /** Connections are refused, and those there are reset, until what this returns is called. */
  cut(): () => void;
  close(): Promise<void>;
}

interface Pair {
  client: Socket;
  server: Socket;
  /** Whether what one side does reaches the other. */
  joined: boolean;
}

/** Stands before the server at `target` (its address as a URL), at the same kind of URL. */
export async function startTcpProxy(target: string): Promise<TcpProxy> {
  const { protocol, hostname, port } = new URL(target);
  const pairs = new Set<Pair>();
  let count = 0;
  let stalled = false;
  let refusing = false;

  const proxy = createServer({ allowHalfOpen: true }, client => {
    client.on('error', () => {});
    if (refusing) return void client.resetAndDestroy();
    count++;
    const server = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
    const pair = { client, server, joined: true };
    pairs.add(pair);
    server.on('error', () => {});
    oneWay(pair, client, server);
    oneWay(pair, server, client);
    if (stalled) pause(pair);
  });

  function oneWay(pair: Pair, from: Socket, to: Socket) {
    from.on('data', chunk => pair.joined && to.write(chunk));
    from.on('end', () => pair.joined && to.end());
    from.on('close', () => {
      if (pair.joined) to.destroy();
      if (to.destroyed) pairs.delete(pair);
    });
  }
  const all = () => [...pairs];
  const sever = (act: (pair: Pair) => void) => {
    for (const pair of all()) {
      pair.joined = false;
      act(pair);
    }
  };
  const reset = () =>
    sever(({ client, server }) => {
      client.resetAndDestroy();
      server.destroy();
    });

  await new Promise<void>((resolve, reject) => {
    proxy.once('error', reject);
    proxy.listen(0, '127.0.0.1', resolve);
  });
  return {
    url: `${protocol}//127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    connections: () => count,
    blackHole: () => sever(() => {}),
    halfOpen: () => sever(({ server }) => server.destroy()),
    finish: () =>
      sever(({ client, server }) => {
        client.end();
        server.destroy();
      }),
    reset,
    stall() {
      stalled = true;
      all().forEach(pause);
      return () => {
        stalled = false;
        all().forEach(resume);
      };
    },
    cut() {
      refusing = true;
      reset();
      return () => {
        refusing = false;
      };
    },
    async close() {
      const closed = new Promise(resolve => proxy.close(resolve));
      sever(({ client, server }) => {
        client.destroy();
        server.destroy();
      });
      await closed;
    },
  };
}

function pause({ client, server }: Pair) {
  client.pause();
  server.pause();
}

function resume({ client, server }: Pair) {
  client.resume();
  server.resume();
}
