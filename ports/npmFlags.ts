/**
 * Detects a forgotten `--`: with `npm run plan -f FILE`, npm takes `-f` for itself and passes only FILE to the command. npm sets a variable
 * `npm_config_NAME` for each flag that it took (npm documentation, "npm run" and "config", "Environment Variables"). `own`: the
 * command's own flags. Answers with the message for the user; undefined if npm took none of them.
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
  // To npm, -f is its own --force; npm has no -o.
  if (own.includes('filename') && positionals.length > 0 && env.npm_config_force !== undefined) lost.push('-f');
  if (lost.length === 0) return undefined;
  return `npm took ${lost.join(' and ')} for itself, because no -- stands before the command's own flags.`;
}
