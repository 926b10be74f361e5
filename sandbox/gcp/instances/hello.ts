import { createServer } from 'node:http';

/** The stand-in for `gcr.io/cloudrun/hello`: a page that says which service and revision answers. */
const { PORT, K_SERVICE, K_REVISION } = process.env;

const page = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Congratulations | Cloud Run</title></head>
<body>
<h1>It's running!</h1>
<p>Congratulations, you successfully deployed a container image to Cloud Run.</p>
<p>Service: ${K_SERVICE}</p>
<p>Revision: ${K_REVISION}</p>
</body>
</html>
`;

const server = createServer((_, response) => {
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(page);
});
server.listen(Number(PORT), '127.0.0.1');
process.once('SIGTERM', () => server.close());
