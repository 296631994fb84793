// A replica that speaks HTTP/2 by TLS and nothing else. usage: tls_two.mjs PORT CERT KEY
import { createSecureServer } from "node:http2";
import { readFileSync } from "node:fs";

const [port, cert, key] = process.argv.slice(2);
createSecureServer({ cert: readFileSync(cert), key: readFileSync(key) }, (q, s) => {
  s.end(`${q.httpVersion} ${q.stream.session.socket.getProtocol()}`);
}).listen(Number(port), "127.0.0.1");
process.on("SIGTERM", () => process.exit(0));
