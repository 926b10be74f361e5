/**
 * A forgotten `--`: `npm run plan -f FILE` gives `-f` to npm, and only FILE to the command. npm hands over what it took in variables,
 * `npm_config_NAME`. Source: npm documentation, "npm run" and "config", "Environment Variables". Undefined: nothing was lost.
 */
export function flagsLostToNpm(
  env: Record<string, string | undefined>,
  own: string[],
  positionals: string[],
): string | undefined {
  if (env.npm_lifecycle_event === undefined) return undefined;
  const lost = own
    .filter(name => env[`npm_config_${name.replaceAll('-', '_')}`] !== undefined)
    .map(name => `--${name}`);
  // npm's own -f is --force, and -o nothing.
  if (own.includes('filename') && positionals.length > 0 && env.npm_config_force !== undefined) lost.push('-f');
  if (lost.length === 0) return undefined;
  return `npm took ${lost.join(' and ')} for itself, because no -- stands before the command's own flags.`;
}
