const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]/g;

interface Level {
  /** Undefined in a list. */
  keys: Set<string> | undefined;
  path: string;
  index: number;
  key: string;
  /** A name comes next, not a value. */
  expectsKey: boolean;
}

/** The paths of names that stand twice in one object of a valid JSON text: parsed, only the last one is left to see. */
export function duplicateFields(json: string): string[] {
  const found = new Set<string>();
  const levels: Level[] = [];
  for (const [token] of json.matchAll(TOKEN)) {
    const level = levels.at(-1);
    if (token === '{' || token === '[') {
      const path = level ? pathOf(level) : '';
      levels.push({ keys: token === '{' ? new Set() : undefined, path, index: 0, key: '', expectsKey: token === '{' });
    } else if (token === '}' || token === ']') {
      levels.pop();
    } else if (!level) {
      // A text that is only a string.
    } else if (token === ',') {
      level.index++;
      level.expectsKey = level.keys !== undefined;
    } else if (token === ':') {
      level.expectsKey = false;
    } else if (level.expectsKey && level.keys) {
      level.key = JSON.parse(token) as string;
      if (level.keys.has(level.key)) found.add(pathOf(level));
      level.keys.add(level.key);
    }
  }
  return [...found];
}

const pathOf = ({ keys, path, index, key }: Level) => (keys ? (path ? `${path}.${key}` : key) : `${path}[${index}]`);
