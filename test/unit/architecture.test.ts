import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, test } from 'vitest';

/** Imports point one way (docs/architecture.md): each room, and all that it may import from outside itself. */
const ROOMS: Record<string, { files: RegExp; packages: boolean }> = {
  'operator/tenant': { files: /^(operator\/ports\.ts|node:(crypto|util))$/, packages: false },
  'operator/kube': { files: /^operator\/(fairQueue|ports|runtime)\.ts$/, packages: true },
  'operator/gcp': { files: /^operator\/((fairQueue|ports|recent|runtime)\.ts|tenant\/.*)$/, packages: true },
  operator: { files: /^(schema\/.*|package\.json)$/, packages: true },
  backend: { files: /^$/, packages: true },
  schema: { files: /^$/, packages: true },
  'sandbox/gcp': { files: /^(operator\/(ports|runtime)|sandbox\/localServer)\.ts$/, packages: true },
  'sandbox/kube': { files: /^(operator\/(ports|runtime)\.ts|sandbox\/localServer\.ts|schema\/.*)$/, packages: true },
};

/** Clients of Google Cloud and Kubernetes: each in the one room that talks to it. */
const CLIENTS = [/^@google-cloud\//, /^@googleapis\//, /^google-/, /^@kubernetes\//, /^undici$/];

/** Of npm or of Node.js. */
const isPackage = (target: string) => !/^(operator|backend|schema|sandbox|test|bench|scripts)\//.test(target);

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
    expect(files.length).toBeGreaterThan(3);
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
