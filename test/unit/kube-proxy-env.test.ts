import { expect, test } from 'vitest';
import { proxyFromEnv } from '../../operator/kube/proxyEnv.ts';

/** The cases of golang.org/x/net/http/httpproxy, which kubectl follows. */

const by = (server: string, NO_PROXY = '') => proxyFromEnv(server, { HTTPS_PROXY: 'http://proxy:3128', NO_PROXY });

test.each([
  ['https://localhost:6443', ''],
  ['https://127.1.2.3', ''],
  ['https://[::1]:6443', ''],
  ['https://cluster.example', '*'],
  ['https://cluster.example', 'cluster.example'],
  ['https://a.cluster.example', 'cluster.example'],
  ['https://a.cluster.example', '.cluster.example'],
  ['https://a.cluster.example', '*.cluster.example'],
  ['https://CLUSTER.example', ' x, Cluster.EXAMPLE '],
  ['https://cluster.example:6443', 'cluster.example:6443'],
  ['https://cluster.example', 'cluster.example:443'],
  ['https://10.1.2.3', '10.0.0.0/8'],
  ['https://10.1.2.3', '10.1.2.3'],
  ['https://10.1.2.3:6443', '10.1.2.3:6443'],
  ['https://[2001:db8::1]', '2001:db8::/32'],
  ['https://[2001:db8::1]', '2001:db8::1'],
  ['https://[2001:db8::1]:6443', '[2001:db8::1]:6443'],
])('%s is reached directly with NO_PROXY=%s', (server, excepted) => {
  expect(by(server, excepted)).toBeUndefined();
});

test.each([
  ['https://cluster.example', ''],
  ['https://cluster.example', '.cluster.example'],
  ['https://mycluster.example', 'cluster.example'],
  ['https://cluster.example', 'cluster.example:6443'],
  ['https://11.1.2.3', '10.0.0.0/8'],
  ['https://11.1.2.3', '10.0.0.0/33,10.0.0.0/x,/8,:443,,[,]'],
  ['https://[2001:db9::1]', '2001:db8::/32'],
  ['https://cluster.example', '10.0.0.0/8'],
  ['https://localhost.example', 'localhost'],
])('%s is reached by the proxy with NO_PROXY=%s', (server, excepted) => {
  expect(by(server, excepted)).toBe('http://proxy:3128');
});

test('each scheme has its own variable, in capitals or small letters; a proxy without a scheme is http', () => {
  const env = { HTTP_PROXY: 'a:1', https_proxy: 'b:2' };
  expect(proxyFromEnv('http://cluster.example', env)).toBe('http://a:1');
  expect(proxyFromEnv('https://cluster.example', env)).toBe('http://b:2');
  expect(proxyFromEnv('https://cluster.example', { HTTP_PROXY: 'a:1' })).toBeUndefined();
  expect(proxyFromEnv('https://cluster.example', { HTTPS_PROXY: 'c:3', https_proxy: 'b:2' })).toBe('http://c:3');
});
