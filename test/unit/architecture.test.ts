import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, test } from 'vitest';

/** Imports point one way (docs/architecture.md): each room, and all that it may import from outside itself. */
const ROOMS: Record<string, { files: RegExp; packages: boolean }> = {
  ports: { files: /^$/, packages: false },
  'operator/collections': { files: /^ports\/runtime\.ts$/, packages: false },
  'operator/tenant': { files: /^(ports\/(json|gcp|kube)\.ts|node:(crypto|util))$/, packages: false },
  'operator/kube': { files: /^(ports\/.*|operator\/collections\/.*)$/, packages: true },
  'operator/gcp': { files: /^(ports\/.*|operator\/(collections|tenant)\/.*)$/, packages: true },
  'operator/reconcile': { files: /^(ports\/.*|operator\/(collections|tenant|gcp|kube)\/.*)$/, packages: true },
  operator: { files: /^(ports\/.*|schema\/.*|package\.json)$/, packages: true },
  backend: { files: /^$/, packages: true },
  schema: { files: /^$/, packages: true },
  // `--kube=current` takes the kubeconfigs that the operator takes, by the same code.
  sandbox: { files: /^(ports\/.*|schema\/.*|operator\/kube\/(client|kubeconfig)\.ts)$/, packages: true },
  'sandbox/gcp': { files: /^(ports\/.*|sandbox\/localServer\.ts)$/, packages: true },
  'sandbox/kube': { files: /^(ports\/.*|sandbox\/localServer\.ts|schema\/.*)$/, packages: true },
};

/** Clients of Google Cloud and Kubernetes: each in the one room that talks to it. */
const CLIENTS = [/^@google-cloud\//, /^@googleapis\//, /^google-/, /^@kubernetes\//, /^undici$/];

/** Of npm or of Node.js. */
const isPackage = (target: string) => !/^(ports|operator|backend|schema|sandbox|test|bench|scripts)\//.test(target);

const root = new URL('../../', import.meta.url).pathname;

function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(/(?:from|import) ?\(?'([^']+)'/g)].map(([, target = '']) =>
    target.startsWith('.') ? normalize(join(dirname(file), target)) : target,
  );
}

describe.each(Object.entries(ROOMS))('%s', (room, { files: known, packages }) => {
  const files = globSync(`${room}/**/*.ts`, { cwd: root });

  test('imports nothing but its own and what it may', () => {
    expect(files.length).toBeGreaterThan(2);
    const strange = files.flatMap(file =>
      importsOf(file)
        .filter(target => !target.startsWith(`${room}/`) && !known.test(target) && !(packages && isPackage(target)))
        .map(target => `${file} imports ${target}`),
    );
    expect(strange).toEqual([]);
  });
});

test('the vendors’ clients stay in operator/gcp, operator/kube and the commands', () => {
  const files = globSync('operator/**/*.ts', { cwd: root }).filter(file => !/^operator\/(gcp|kube|cli)\//.test(file));
  const strange = files.flatMap(file =>
    importsOf(file)
      .filter(target => CLIENTS.some(client => client.test(target)))
      .map(target => `${file} imports ${target}`),
  );
  expect(strange).toEqual([]);
});
