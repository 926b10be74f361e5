import { readFileSync } from 'node:fs';
import { LuaFactory, LuaLibraries } from 'wasmoon';
import { parse } from 'yaml';

const KEY = 'resource.customizations.health.ai-platform.dev_AiTenant';
const settings = parse(readFileSync(new URL('../../../manifests/argocd/argocd-cm.yaml', import.meta.url), 'utf8')) as {
  data: Record<string, string>;
};
const HEALTH_SCRIPT = settings.data[KEY] ?? '';

const factory = new LuaFactory();

/** Argo CD gives `os` by require alone, and of it two functions (its util/lua/oslib_safe.go). */
const SAFE_OS = 'local os = os; package.preload.os = function() return { time = os.time, date = os.date } end';

/** What Argo CD's health check says of an object: the script of the manifests in a real Lua, with no more libraries than there. */
export async function healthOf(object: unknown): Promise<{ status: string; message: string }> {
  const lua = await factory.createEngine({ openStandardLibs: false });
  try {
    for (const library of [LuaLibraries.Base, LuaLibraries.Package, LuaLibraries.Table, LuaLibraries.OS]) {
      lua.global.loadLibrary(library);
    }
    return (await lua.doString(`do ${SAFE_OS} end os = nil; obj = ${literal(object)}\n${HEALTH_SCRIPT}`)) as {
      status: string;
      message: string;
    };
  } finally {
    lua.global.close();
  }
}

/** A value as Lua source. */
function literal(value: unknown): string {
  if (value === null || value === undefined) return 'nil';
  if (Array.isArray(value)) return `{${value.map(literal).join(',')}}`;
  if (typeof value === 'object') {
    return `{${Object.entries(value)
      .map(([key, item]) => `[${text(key)}]=${literal(item)}`)
      .join(',')}}`;
  }
  return typeof value === 'string' ? text(value) : String(value);
}

const text = (value: string): string =>
  `"${[...Buffer.from(value)].map(byte => `\\${String(byte).padStart(3, '0')}`).join('')}"`;
