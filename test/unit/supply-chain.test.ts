import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

const ROOT = new URL('../../', import.meta.url).pathname;
const file = (path: string) => readFileSync(`${ROOT}${path}`, 'utf8');

interface Locked {
  /** Where it is installed under another name. */
  name?: string;
  version?: string;
  resolved?: string;
  integrity?: string;
  license?: string;
  hasInstallScript?: boolean;
  dev?: boolean;
  devOptional?: boolean;
  link?: boolean;
  bin?: Record<string, string>;
  os?: string | string[];
  cpu?: string | string[];
}
const { packages } = JSON.parse(file('package-lock.json')) as { packages: Record<string, Locked> };
const locked = Object.entries(packages).filter(([path]) => path !== '');
const own = JSON.parse(file('package.json')) as {
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
  optionalDependencies: Record<string, string>;
  scripts: Record<string, string>;
  allowScripts: Record<string, boolean>;
};

/** Licences that ask for no more than their text to come along. What only development needs may also have these others. */
const LICENCES = new Set(
  'MIT Apache-2.0 ISC BSD BSD-2-Clause BSD-3-Clause 0BSD BlueOak-1.0.0 PSF-2.0 Python-2.0 Unlicense CC0-1.0'.split(' '),
);
const DEVELOPMENT = new Set(['MPL-2.0', 'CC-BY-4.0']);

describe('the lock file', () => {
  test('Node.js itself is in the lock file, for each system', () => {
    const versions = new Set(Object.values(own.optionalDependencies));
    expect(versions.size).toBe(1);
    expect(file('Dockerfile.operator')).toContain(`node:${[...versions][0]}-slim`);
    expect(file('.node-version').trim()).toBe([...versions][0]);
    const systems = locked.filter(([, { bin }]) => bin?.node).map(([, { os, cpu }]) => `${os} ${cpu}`);
    expect(systems.sort()).toEqual(['darwin arm64', 'darwin x64', 'linux arm64', 'linux x64', 'win32 x64']);
    const names = Object.keys(own.optionalDependencies).map(name => `node_modules/${name}`);
    expect(locked.filter(([path]) => names.includes(path))).toHaveLength(names.length);
  });

  test('every package is pinned by its hash', () => {
    expect(locked.length).toBeGreaterThan(200);
    const loose = locked.filter(([, { integrity }]) => !integrity?.startsWith('sha512-')).map(([path]) => path);
    expect(loose).toEqual([]);
    // From the registry that npm is set to, and from nowhere else.
    expect(locked.flatMap(([, { resolved }]) => resolved ?? [])).toEqual([]);
    const ranges = Object.values({ ...own.dependencies, ...own.devDependencies, ...own.optionalDependencies });
    expect(ranges.filter(range => !/^\d+\.\d+\.\d+$/.test(range))).toEqual([]);
  });

  test('every package has a licence that asks for nothing', () => {
    const odd = locked.filter(([, { license = 'none', dev }]) => {
      const names = license.replace(/[()]/g, '').split(/ (?:AND|OR) /);
      return !names.every(name => LICENCES.has(name) || (dev === true && DEVELOPMENT.has(name)));
    });
    expect(odd.map(([path, { license }]) => `${path}: ${license}`)).toEqual([]);
  });

  test('no package runs a script when it is installed', () => {
    expect(Object.keys(own.allowScripts).filter(name => own.allowScripts[name])).toEqual([]);
    const asking = locked
      .filter(([, { hasInstallScript }]) => hasInstallScript)
      .map(([path]) => path.split('/').at(-1));
    expect(asking.filter(name => !Object.hasOwn(own.allowScripts, name ?? ''))).toEqual([]);
    expect(file('scripts/install.mjs')).toMatch(/'ci',\s+'--ignore-scripts',/);
    for (const image of ['Dockerfile.backend', 'Dockerfile.operator']) {
      const installs = file(image)
        .split('\n')
        .filter(line => /npm (ci|install)/.test(line));
      expect(installs).not.toEqual([]);
      for (const line of installs) expect(line).toContain('--ignore-scripts');
    }
  });
});

test('every npm script that needs a package installs the packages first and says what it does', () => {
  const others = Object.entries(own.scripts).filter(
    ([, command]) => !/^node scripts\/run\.mjs "[A-Z][^"]{20,90}" \w/.test(command),
  );
  expect(others.map(([name]) => name)).toEqual(['sbom']);
});

test('npm run sbom lists what the operator and the backend bring, each with its licence and hash', () => {
  const listing = execFileSync('npm', ['run', '--silent', 'sbom'], {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  interface Component {
    name: string;
    version: string;
    licenses?: unknown[];
    hashes?: unknown[];
    properties: { name: string }[];
  }
  const { bomFormat, components } = JSON.parse(listing) as { bomFormat: string; components: Component[] };
  expect(bomFormat).toBe('CycloneDX');
  const development = ({ properties }: Component) =>
    properties.some(({ name }) => name === 'cdx:npm:package:development');
  const runs = components.filter(component => !development(component));
  const listed = new Set(runs.map(({ name, version }) => `${name}@${version}`));
  for (const [name, version] of Object.entries(own.dependencies)) expect(listed).toContain(`${name}@${version}`);
  const missing = locked
    .filter(([, { dev, devOptional }]) => !dev && !devOptional)
    .map(([path, { name, version }]) => `${name ?? path.split('node_modules/').at(-1)}@${version}`)
    .filter(name => !listed.has(name));
  expect(missing).toEqual([]);
  const bare = runs.filter(({ licenses = [], hashes = [] }) => licenses.length === 0 || hashes.length === 0);
  expect(bare).toEqual([]);
});
