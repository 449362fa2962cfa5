// An origin under Node: files, the SHA-256 of a body, three events, an answer that ends with its connection.
import { createHash } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { basename, join } from 'node:path';

const root = process.env.INTEROP_ROOT;

async function answer(request, response) {
  const path = new URL(request.url, 'http://origin').pathname;
  if (path === '/echo') {
    const sum = createHash('sha256');
    for await (const piece of request) sum.update(piece);
    response.end(sum.digest('hex') + '\n');
  } else if (path === '/events') {
    response.setHeader('Content-Type', 'text/event-stream');
    for (const n of [1, 2, 3]) response.write(`data: ${n}\n\n`);
    response.end();
  } else if (path === '/until-close') {
    response.useChunkedEncodingByDefault = false;
    response.setHeader('Connection', 'close');
    response.end('ends with the connection\n');
  } else {
    const file = join(root, basename(path));
    const size = statSync(file, { throwIfNoEntry: false })?.size;
    if (size === undefined) return response.writeHead(404).end();
    response.setHeader('Content-Length', size);
    if (request.method === 'HEAD') return response.end();
    createReadStream(file).pipe(response);
  }
}

const server = createServer((request, response) => void answer(request, response));
server.keepAliveTimeout = 1000;
server.listen(Number(process.argv[2]), '127.0.0.1');
