import type { ServerResponse } from 'node:http';

/** The answers that Google's front end sends instead of a service, recorded from the real one. */
export function answerFor(
  kind: 'forbidden' | 'notFound' | 'tooLarge' | 'rateExceeded' | 'noInstance' | 'unavailable' | 'timeout',
  path: string,
) {
  const html = (status: number, title: string, text: string) => ({
    status,
    type: 'text/html; charset=UTF-8',
    body: `\n<html><head>\n<meta http-equiv="content-type" content="text/html;charset=utf-8">\n<title>${status} ${title}</title>\n</head>\n<body text=#000000 bgcolor=#ffffff>\n<h1>Error: ${title}</h1>\n<h2>${text}</h2>\n<h2></h2>\n</body></html>\n`,
  });
  const plain = (status: number, body: string) => ({ status, type: 'text/plain', body });
  switch (kind) {
    case 'forbidden':
      return html(
        403,
        'Forbidden',
        `Your client does not have permission to get URL <code>${escaped(path)}</code> from this server.`,
      );
    case 'notFound':
      return html(
        404,
        'Page not found',
        `The requested URL <code>${escaped(path)}</code> was not found on this server.`,
      );
    case 'tooLarge':
      return html(413, 'Request Entity Too Large', 'Your client issued a request that was too large.');
    case 'noInstance':
      return html(
        500,
        'Server Error',
        'The server encountered an error and could not complete your request.<p>Please try again in 30 seconds.',
      );
    case 'rateExceeded':
      return plain(429, 'Rate exceeded.');
    case 'unavailable':
      return plain(503, 'Service Unavailable');
    case 'timeout':
      return plain(504, 'upstream request timeout');
  }
}

/** Sends such an answer. If another answer has already begun, closes the connection. */
export function refuse(response: ServerResponse, kind: Parameters<typeof answerFor>[0], path: string): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const { status, type, body } = answerFor(kind, path);
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    server: 'Google Frontend',
    // The connection is closed because the request's body may not have been read to its end.
    ...(response.req.httpVersionMajor === 1 && { connection: 'close' }),
  });
  response.end(body);
}

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const escaped = (text: string) => text.replace(/[&<>"]/g, char => entities[char] ?? char);
