// npm run bundle [-- --outdir=DIR] [operator] [backend]: makes operator.mjs and backend.mjs (in dist/), each with all that its
// process needs; beside it the licences' texts and a list (CycloneDX) of what is in it.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values, positionals } = parseArgs({
  options: { outdir: { type: 'string', default: `${root}dist` } },
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

for (const name of positionals.length > 0 ? positionals : ['operator', 'backend']) {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: { [name]: `${name}/main.ts` },
    outdir,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    banner: { js: banner },
    plugins: [fewMediaTypes],
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
    if (file.endsWith('.mjs')) {
      writeFileSync(
        resolve(root, `${file}.cdx.json`),
        `${JSON.stringify(sbomOf(name, Object.keys(inputs)), null, 1)}\n`,
      );
      const path = relative(process.cwd(), resolve(root, file));
      console.log(`${path}  ${(bytes / 2 ** 20).toFixed(2)} MiB of ${Object.keys(inputs).length} modules`);
    }
  }
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
