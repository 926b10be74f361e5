/**
 * The path of a request target in any form that HTTP has (RFC 9112, 3.2). By hand, because koa's `ctx.path` parses it as a URL,
 * which throws for some targets that Node.js accepts, such as `http://[`.
 */
export function pathOf(target = ''): string {
  const path = target.replace(/^[a-z][a-z\d+.-]*:\/\/[^/?#]*/i, '').replace(/[?#].*$/s, '');
  return path === '' ? '/' : path;
}
