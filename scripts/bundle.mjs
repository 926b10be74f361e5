// npm run bundle [-- --outdir=DIR] [operator] [backend] [aitenant]: makes operator.mjs, backend.mjs and aitenant.cjs (in dist/), each
// with all that its process needs; beside it the licences' texts and a list (CycloneDX) of what is in it. With --package it also makes
// the folder aitenant/, an npm package whose commands are `aitenant` and `kubectl-aitenant`.
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values, positionals } = parseArgs({
  options: { outdir: { type: 'string', default: `${root}dist` }, package: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const outdir = resolve(values.outdir);

// CommonJS packages ask for Node.js's own modules by `require`, which an ES module has not.
const banner =
  "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);";

// What `debug` and `ws` use if it is there and do without; `<runtime>` is esbuild's own.
const optional = new Set(['<runtime>', 'supports-color', 'bufferutil', 'utf-8-validate']);

/**
 * koa brings three lists of all media types there are (mime-db), 440 kB that are gone through at each start: of them only what
 * the backend speaks. Nothing else asks for them.
 */
const spoken = ['application/json', 'application/octet-stream', 'text/event-stream', 'text/html', 'text/plain'];
const fewMediaTypes = {
  name: 'few-media-types',
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]mime-db[\\/]db\.json$/ }, ({ path }) => {
      const all = JSON.parse(readFileSync(path, 'utf8'));
      return { loader: 'json', contents: JSON.stringify(Object.fromEntries(spoken.map(type => [type, all[type]]))) };
    });
  },
};

/**
 * Node.js's own modules by `require` also where the source imports them: for an import, Node.js reads each property of the module, and two
 * of node:http's load its whole `fetch` and HTTP/2, about a third of the backend's start.
 */
const ownByRequire = {
  name: 'own-by-require',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path, kind }) =>
      kind === 'require-call' ? { path, external: true } : { path, namespace: 'own-by-require' },
    );
    onLoad({ filter: /^/, namespace: 'own-by-require' }, ({ path }) => ({
      contents: `module.exports = require(${JSON.stringify(path)});`,
    }));
  },
};

/** The CRD's text instead of its path, so that the command is one file. */
const crdInside = {
  name: 'crd-inside',
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]cli[\\/]crdText\.ts$/ }, () => {
      const text = readFileSync(resolve(root, 'crds/aitenants.yaml'), 'utf8');
      return { loader: 'js', contents: `export const crdText = () => ${JSON.stringify(text)};` };
    });
  },
};

// On an older Node.js, an ES module would fail in its imports, before it could say what is wrong. So the command for people is a CommonJS file.
const oldNode =
  "if (Number(process.versions.node.split('.')[0]) < 24) { console.error('aitenant needs Node.js 24 or newer; this is ' + process.version + '. Newer versions: https://nodejs.org'); process.exit(1); }";

const ESM = { entry: name => `${name}/main.ts`, extension: '.mjs', format: 'esm', banner };
const TARGETS = {
  operator: ESM,
  backend: ESM,
  aitenant: { entry: () => 'operator/cli/aitenant.ts', extension: '.cjs', format: 'cjs', banner: oldNode },
};

for (const name of positionals.length > 0 ? positionals : Object.keys(TARGETS)) {
  const target = TARGETS[name];
  if (!target) throw new Error(`there is no ${name} to bundle, only ${Object.keys(TARGETS).join(', ')}`);
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: { [name]: target.entry(name) },
    outdir,
    outExtension: { '.js': target.extension },
    bundle: true,
    platform: 'node',
    format: target.format,
    target: 'node24',
    banner: { js: target.banner },
    plugins: [fewMediaTypes, crdInside, ownByRequire],
    // Not the identifiers: errors are told apart and logged by their names, and keeping those another way costs time in each call.
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'linked',
    metafile: true,
    logLevel: 'warning',
  });
  const missing = Object.values(metafile.inputs)
    .flatMap(({ imports }) => imports)
    .flatMap(({ path, external }) => (external && !isBuiltin(path) && !optional.has(path) ? path : []));
  if (missing.length > 0) throw new Error(`${name} would ask for ${missing} when it runs`);
  for (const [file, { bytes, inputs }] of Object.entries(metafile.outputs)) {
    if (file.endsWith(target.extension)) {
      writeFileSync(
        resolve(root, `${file}.cdx.json`),
        `${JSON.stringify(sbomOf(name, Object.keys(inputs)), null, 1)}\n`,
      );
      const path = relative(process.cwd(), resolve(root, file));
      console.log(`${path}  ${(bytes / 2 ** 20).toFixed(2)} MiB of ${Object.keys(inputs).length} modules`);
    }
  }
}
if (values.package) makePackage(resolve(outdir, 'aitenant'));

/** The npm package of the command. It has no dependencies, so that `npm install` fetches nothing else. */
function makePackage(folder) {
  const own = JSON.parse(readFileSync(resolve(root, 'package.json'), 'utf8'));
  mkdirSync(folder, { recursive: true });
  for (const file of ['aitenant.cjs', 'aitenant.cjs.LEGAL.txt', 'aitenant.cjs.cdx.json'])
    copyFileSync(resolve(outdir, file), resolve(folder, file));
  for (const [from, to] of [
    ['LICENSE', 'LICENSE'],
    ['docs/cli.md', 'README.md'],
  ])
    copyFileSync(resolve(root, from), resolve(folder, to));
  chmodSync(resolve(folder, 'aitenant.cjs'), 0o755);
  const manifest = {
    name: 'aitenant',
    version: own.version,
    description: 'Shows, plans and imports AiTenants: the command of aitenant-operator, also as a plug-in of kubectl',
    license: own.license,
    engines: own.engines,
    bin: { aitenant: 'aitenant.cjs', 'kubectl-aitenant': 'aitenant.cjs' },
  };
  writeFileSync(resolve(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
}

/** npm's own list of everything that is locked, less what is not in the bundle. */
function sbomOf(name, modules) {
  const folders = new Set(modules.flatMap(path => /^.*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(path)?.[0] ?? []));
  const refs = new Set(
    [...folders].map(folder => {
      const own = JSON.parse(readFileSync(resolve(root, folder, 'package.json'), 'utf8'));
      return `${own.name}@${own.version}`;
    }),
  );
  const args = ['sbom', '--sbom-format=cyclonedx', '--package-lock-only', '--loglevel=error'];
  const all = JSON.parse(execFileSync('npm', args, { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 26 }));
  const components = all.components.filter(component => refs.delete(`${component.name}@${component.version}`));
  if (refs.size > 0) throw new Error(`not in package-lock.json: ${[...refs]}`);
  const kept = new Set(components.map(component => component['bom-ref']));
  const dependencies = all.dependencies
    .filter(({ ref }) => kept.has(ref))
    .map(({ ref, dependsOn = [] }) => ({ ref, dependsOn: dependsOn.filter(other => kept.has(other)) }));
  const { component } = all.metadata;
  return {
    ...all,
    metadata: { ...all.metadata, component: { ...component, name, 'bom-ref': name } },
    components,
    dependencies,
  };
}
