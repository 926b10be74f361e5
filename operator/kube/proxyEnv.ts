import { BlockList, isIP } from 'node:net';

/**
 * The proxy that the environment names for a server, by kubectl's rules (golang.org/x/net/http/httpproxy):
 *
 * - The variable is HTTPS_PROXY or HTTP_PROXY, by the server's scheme, in capitals or small letters. A value without a scheme is http.
 * - This machine, and what NO_PROXY lists, is reached without a proxy. NO_PROXY holds `*`, addresses, CIDR blocks, names (with all names
 *   below them) and `.name` (only the names below it), each except a block with or without a port.
 */
export function proxyFromEnv(server: string, env: NodeJS.ProcessEnv): string | undefined {
  const { protocol, hostname, port } = new URL(server);
  const name = protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
  const proxy = env[name] || env[name.toLowerCase()];
  if (!proxy) return undefined;
  const host = hostname.replace(/^\[|\]$/g, '').toLowerCase();
  const excepted = (env.NO_PROXY || env.no_proxy || '').split(',').map(entry => entry.trim().toLowerCase());
  const isDirect =
    isThisMachine(host) ||
    excepted.some(entry => isExcepted(entry, host, port || (protocol === 'https:' ? '443' : '80')));
  if (isDirect) return undefined;
  return proxy.includes('://') ? proxy : `http://${proxy}`;
}

const family = (address: string) => (isIP(address) === 6 ? 'ipv6' : 'ipv4');

function isWithin(host: string, network: string, prefix: number): boolean {
  const block = new BlockList();
  block.addSubnet(network, prefix, family(network));
  return isIP(host) > 0 && block.check(host, family(host));
}

const isThisMachine = (host: string): boolean =>
  host === 'localhost' || isWithin(host, '127.0.0.0', 8) || isWithin(host, '::1', 128);

function isExcepted(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true;
  const [, network = '', prefix = ''] = /^([^/]+)\/(\d{1,3})$/.exec(entry) ?? [];
  if (isIP(network))
    return Number(prefix) <= (isIP(network) === 6 ? 128 : 32) && isWithin(host, network, Number(prefix));
  const [, name = entry, onlyPort = port] = (isIP(entry) ? undefined : /^(.*):(\d+)$/.exec(entry)) ?? [];
  if (onlyPort !== port) return false;
  const wanted = name.replace(/^\[|\]$/g, '').replace(/^\*\./, '.');
  if (wanted === '') return false;
  if (isIP(wanted)) return isWithin(host, wanted, isIP(wanted) === 6 ? 128 : 32);
  return wanted.startsWith('.') ? host.endsWith(wanted) : host === wanted || host.endsWith(`.${wanted}`);
}
