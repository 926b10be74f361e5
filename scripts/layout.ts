import { spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { parseSync } from 'oxc-parser';

/**
 * The part of `npm run check` that no linter does: imports between the folders point one way (docs/architecture.md), and no two files of
 * the operator or of the sandbox have one name. Biome holds the length of functions and circles of imports (biome.json), knip holds that
 * every export, file and dependency is used (knip.json). Exit code 1 and one line for each problem.
 */

const ROOT = new URL('..', import.meta.url).pathname;

interface Room {
  /** The files that a file of this folder may import from outside of it. */
  files: RegExp;
  /** Whether it may import packages of npm and modules of Node.js. */
  packages: boolean;
}

/** What every API of the local Google Cloud may import. */
const SHARED = /^(ports\/\w+\.ts|sandbox\/gcp\/(contracts|errors|filter|freshness|paging)\.ts)$/;

const either = (...patterns: RegExp[]): RegExp => new RegExp(patterns.map(({ source }) => source).join('|'));

/** A file must keep to the rule of every folder that it is in. */
const ROOMS: Record<string, Room> = {
  ports: { files: /^$/, packages: false },
  'operator/collections': { files: /^(ports\/runtime\.ts|node:assert)$/, packages: false },
  // tenant/ decides about answers and errors of Google Cloud and the cluster, so it knows their types (docs/decisions/).
  'operator/tenant': { files: /^(ports\/(json|gcp|kube)\.ts|node:(crypto|util|assert\/strict))$/, packages: false },
  'operator/kube': { files: /^(ports\/.*|operator\/collections\/.*)$/, packages: true },
  'operator/gcp': { files: /^(ports\/.*|operator\/(collections|tenant)\/.*)$/, packages: true },
  'operator/reconcile': { files: /^(ports\/.*|operator\/(collections|tenant|gcp|kube)\/.*)$/, packages: true },
  operator: { files: /^(ports\/.*|schema\/.*|package\.json)$/, packages: true },
  backend: { files: /^$/, packages: true },
  schema: { files: /^$/, packages: true },
  // `--kube=current` reads a kubeconfig by the same code as the operator (docs/decisions/).
  sandbox: { files: /^(ports\/.*|schema\/.*|operator\/kube\/(kubeApi|kubeconfig)\.ts)$/, packages: true },
  'sandbox/gcp': { files: /^(ports\/.*|sandbox\/localServer\.ts)$/, packages: true },
  // The APIs of the local Google Cloud know its contracts and helpers; cloud.ts and core.ts put them together.
  'sandbox/gcp/iam': { files: SHARED, packages: false },
  'sandbox/gcp/secretManager': { files: either(SHARED, /^sandbox\/gcp\/iam\/policyMethods\.ts$/), packages: false },
  'sandbox/gcp/projects': { files: SHARED, packages: false },
  'sandbox/gcp/logging': { files: SHARED, packages: false },
  'sandbox/gcp/run': {
    files: either(SHARED, /^(sandbox\/gcp\/(iam\/policyMethods|wire\/protoJson)\.ts|node:(crypto|util))$/),
    packages: false,
  },
  // The methods are read from the APIs' protos, some of which stand beside the API's handlers.
  'sandbox/gcp/wire': {
    files: either(
      SHARED,
      /^sandbox\/(localServer|gcp\/(core|quotas|iam\/iamProtos|run\/newerProtos|projects\/\w+))\.ts$/,
    ),
    packages: true,
  },
  'sandbox/gcp/instances': {
    files: either(SHARED, /^sandbox\/(localServer\.ts|gcp\/run\/\w+\.ts)$/),
    packages: true,
  },
  // What the console shows and does: it knows the local Google Cloud and, by the port, the cluster.
  'sandbox/tenants': { files: /^(ports\/.*|sandbox\/gcp\/(core|instances\/images)\.ts)$/, packages: true },
  'sandbox/console': { files: /^(sandbox\/(localServer\.ts|tenants\/\w+\.ts))$/, packages: true },
  // Runs in a browser.
  'sandbox/console/page': { files: /^sandbox\/tenants\/contract\.ts$/, packages: false },
  'sandbox/kube': { files: /^(ports\/.*|sandbox\/localServer\.ts|schema\/.*)$/, packages: true },
};

/** Clients of Google Cloud and Kubernetes. In the operator only the folders that talk to those import them. */
const CLIENTS = /^(@google-cloud\/|@googleapis\/|google-|@kubernetes\/|undici$)/;
const TALKS = /^operator\/(gcp|kube|cli)\//;

/** Folders in which a file's name stands for one thing. */
const ONE_NAME = ['operator', 'sandbox'];
/** Names that several files have today. A name that is not needed here is a problem too, so the list can only shrink. */
export const SAME_NAME: Record<string, string[]> = {
  // A resource has one file in gcp/ and one in tenant/.
  operator: ['account.ts', 'service.ts'],
  // The core, the HTTP server, its routes, faults, errors and the store of each stand-in are the same thing three times.
  sandbox: ['core.ts', 'errors.ts', 'faults.ts', 'routes.ts', 'server.ts'],
};

/** The files and packages that a module imports, types included. Files are named from the root. */
function importsOf(file: string, code: string): string[] {
  const { module } = parseSync(file, code);
  const from = [
    ...module.staticImports.map(({ moduleRequest }) => moduleRequest.value),
    ...module.staticExports.flatMap(({ entries }) => entries.flatMap(entry => entry.moduleRequest?.value ?? [])),
    ...module.dynamicImports.map(({ moduleRequest: { start, end } }) => code.slice(start + 1, end - 1)),
  ];
  return from.map(target => (target.startsWith('.') ? normalize(join(dirname(file), target)) : target));
}

const isFile = (target: string) =>
  /^(ports|operator|backend|schema|sandbox|test|bench|scripts)\/|^package\.json$/.test(target);

function importProblems(file: string, code: string): string[] {
  return importsOf(file, code).flatMap(target => {
    const broken = Object.entries(ROOMS).filter(
      ([room, { files, packages }]) =>
        file.startsWith(`${room}/`) &&
        !target.startsWith(`${room}/`) &&
        !files.test(target) &&
        !(packages && !isFile(target)),
    );
    const problems = broken.map(([room]) => `${file} imports ${target}, which ${room}/ must not import`);
    if (file.startsWith('operator/') && !TALKS.test(file) && CLIENTS.test(target)) {
      problems.push(`${file} imports ${target}, a client that stays in operator/gcp, operator/kube and operator/cli`);
    }
    return problems;
  });
}

function nameProblems(folder: string, files: string[], excepted: string[]): string[] {
  const byName = Map.groupBy(
    files.filter(file => file.startsWith(`${folder}/`)),
    file => basename(file),
  );
  const shared = [...byName].filter(([, same]) => same.length > 1);
  return [
    ...shared
      .filter(([name]) => !excepted.includes(name))
      .map(([name, same]) => `${name} is the name of ${same.length} files: ${same.join(', ')}`),
    ...excepted
      .filter(name => !shared.some(([taken]) => taken === name))
      .map(name => `${name} is an exception in scripts/layout.ts that ${folder}/ no longer needs`),
  ];
}

interface Override {
  includes: string[];
  linter: { rules: Record<string, Record<string, string>> };
}

/**
 * The files for which biome.json turns a rule off although they no longer break it. Overrides for tests stand for a decision and are left out.
 */
export function unneededOverrides(overrides: Override[]): string[] {
  return overrides.flatMap(({ includes, linter }) => {
    const files = includes.filter(file => !file.startsWith('test/'));
    const rules = Object.entries(linter.rules).flatMap(([group, names]) =>
      Object.keys(names).map(name => `${group}/${name}`),
    );
    return rules.flatMap(rule => {
      const broken = filesThatBreak(rule, files);
      return files
        .filter(file => !broken.has(file))
        .map(file => `${file} is an exception in biome.json that is no longer needed: ${rule}`);
    });
  });
}

/** `--only` runs a rule also where biome.json turns it off. */
function filesThatBreak(rule: string, files: string[]): Set<string> {
  const args = ['lint', `--only=${rule}`, '--reporter=json', '--max-diagnostics=none'];
  const there = files.filter(file => existsSync(join(ROOT, file)));
  if (there.length === 0) return new Set();
  const biome = spawnSync('biome', [...args, ...there], {
    cwd: ROOT,
    encoding: 'utf8',
    shell: process.platform === 'win32',
  });
  const { diagnostics } = JSON.parse(biome.stdout) as {
    diagnostics: { category: string; location: { path: string } }[];
  };
  return new Set(
    diagnostics.filter(({ category }) => category === `lint/${rule}`).map(({ location }) => location.path),
  );
}

/** What is wrong with the layout of these files: their code by their path from the root. */
export function layoutProblems(files: Map<string, string>, sameName = SAME_NAME): string[] {
  return [
    ...[...files].flatMap(([file, code]) => importProblems(file, code)),
    ...ONE_NAME.flatMap(folder => nameProblems(folder, [...files.keys()], sameName[folder] ?? [])),
  ];
}

/** The project's own files. */
export function sourceFiles(): Map<string, string> {
  const files = globSync('{ports,operator,backend,schema,sandbox}/**/*.ts', { cwd: ROOT }).sort();
  return new Map(files.map(file => [file, readFileSync(join(ROOT, file), 'utf8')]));
}

if (import.meta.main) {
  const { overrides } = JSON.parse(readFileSync(join(ROOT, 'biome.json'), 'utf8')) as { overrides: Override[] };
  const problems = [...layoutProblems(sourceFiles()), ...unneededOverrides(overrides)];
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exit(1);
}
