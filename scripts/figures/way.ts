import { readFileSync } from 'node:fs';
import { registerHooks, stripTypeScriptTypes } from 'node:module';
import { relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseSync } from 'oxc-parser';

/**
 * Prints, as JSON, which files of the operator one edit of an AiTenant runs through: `node scripts/figures/way.ts ROOT`, where ROOT is a
 * checkout of this repository. The steps:
 * 1. A module hook writes a call of `enter` into the beginning of every function of operator/ and ports/ while Node.js loads it.
 * 2. The world of the end-to-end tests starts with one tenant, and the tenant becomes Ready.
 * 3. `spec.scaling.maxInstances` is edited. From here until the status is Ready for the new generation, the first call of each function
 *    is recorded.
 */

/** Functions in the order of their first call. A function is `FILE NAME:LINE`. */
export type Way = string[];

const root = process.argv[2] ?? '.';
const seen = new Set<string>();
let recording = false;
Object.assign(globalThis, {
  enter(name: string) {
    if (recording) seen.add(name);
  },
});

interface Node {
  type: string;
  start: number;
  end: number;
  id?: { name?: string } | null;
  key?: { name?: string };
  body?: Node | null;
}

/** The module with a call of `enter` at the beginning of each function. */
function traced(file: string, source: string): string {
  const code = stripTypeScriptTypes(source);
  const inserts: { at: number; text: string }[] = [];
  const visit = (node: Node, name: string): void => {
    const own = node.id?.name ?? node.key?.name ?? name;
    const { body } = node;
    if (/Function/.test(node.type) && body) {
      const line = code.slice(0, node.start).split('\n').length;
      const call = `enter(${JSON.stringify(`${file} ${own}:${line}`)})`;
      if (body.type === 'BlockStatement' || body.type === 'FunctionBody') {
        inserts.push({ at: body.start + 1, text: `${call};` });
      } else inserts.push({ at: body.start, text: `(${call},` }, { at: body.end, text: ')' });
    }
    for (const child of Object.values(node).flat()) {
      if (typeof child?.type === 'string') visit(child as Node, own);
    }
  };
  visit(parseSync('module.js', code).program as unknown as Node, 'module');
  let text = code;
  for (const { at, text: added } of inserts.sort((a, b) => b.at - a.at))
    text = text.slice(0, at) + added + text.slice(at);
  return text;
}

registerHooks({
  // The tests' cluster asks vitest for the address of a real kube-apiserver. Outside of vitest there is none.
  resolve: (specifier, context, nextResolve) =>
    specifier === 'vitest'
      ? { url: 'data:text/javascript,export const inject = () => undefined', shortCircuit: true }
      : nextResolve(specifier, context),
  load(url, context, nextLoad) {
    const file = url.startsWith('file:') ? relative(root, fileURLToPath(url)) : '';
    if (!/^(operator|ports)\/.*\.ts$/.test(file)) return nextLoad(url, context);
    return { format: 'module', shortCircuit: true, source: traced(file, readFileSync(new URL(url), 'utf8')) };
  },
});

const { createWorld, spec } = (await import(
  `${pathToFileURL(root)}/test/e2e/support/world.ts`
)) as typeof import('../../test/e2e/support/world.ts');
const world = await createWorld();
await world.secret('tenant-a-openai-key');
await world.apply('tenant-a', spec());
await world.ready('tenant-a');
// A check leaves nothing that still waits for its turn.
await world.check('tenant-a');
recording = true;
await world.edit('tenant-a', { scaling: { maxInstances: 11 } });
await world.ready('tenant-a');
recording = false;
await world.close();
console.log(JSON.stringify([...seen] satisfies Way));
process.exit(0);
