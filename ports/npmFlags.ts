/**
 * Detects a forgotten `--`: with `npm run plan -f FILE`, npm takes `-f` for itself and passes only FILE to the command. npm sets a variable
 * `npm_config_NAME` for each flag that it took (npm documentation, "npm run" and "config", "Environment Variables"). `own`: the
 * command's own flags. `argv`: its arguments, `positionals`: those of them that are no flags. `start`: what to type before them. Answers with the message for the user; undefined if npm took none of them.
 */
export function flagsLostToNpm(
  env: Record<string, string | undefined>,
  own: string[],
  argv: string[],
  positionals: string[],
  start: string,
  example: string,
): string | undefined {
  if (env.npm_lifecycle_event === undefined) return undefined;
  const taken = (name: string) => env[`npm_config_${name.replaceAll('-', '_')}`];
  const lost = own.flatMap(name => {
    if (taken(name) !== undefined) return { flag: `--${name}`, value: taken(name) };
    const short = SHORT[name];
    return short !== undefined && taken(short.toLowerCase()) !== undefined
      ? { flag: `-${short}`, value: taken(short.toLowerCase()) }
      : [];
  });
  // To npm, -f is its own --force.
  if (own.includes('filename') && positionals.length > 0 && env.npm_config_force !== undefined)
    lost.push({ flag: '-f', value: 'true' });
  const [first, ...others] = lost;
  if (first === undefined) return undefined;
  // With one flag it is known what was meant: npm leaves its value among the arguments, unless it was written with `=`.
  const value = first.value === 'true' || first.value === '' ? [] : [`=${first.value}`];
  const meant = [`${first.flag}${value.join('')}`, ...argv];
  const isPlain = others.length === 0 && meant.every(word => /^[\w./:@=-]+$/.test(word));
  return (
    `npm took ${lost.map(({ flag }) => flag).join(' and ')} for itself, because no -- stands before the command's own flags. ` +
    `Write: ${isPlain ? [start, ...meant].join(' ') : example}`
  );
}

/** Short flags of the commands that npm does not know either; for `-n` and `-w` it has a meaning of its own. */
const SHORT: Record<string, string> = { output: 'o', 'all-namespaces': 'A' };
