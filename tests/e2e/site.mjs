// A replica for real clients: a page with 100 objects and a WebSocket, a sink and a source of bytes.
// usage: node site.mjs PORT
import { createHash } from "node:crypto";
import { createServer } from "node:http";

const PAGE = `<!doctype html><title>wait</title><script>
window.seen = { objects: 0, echoes: [] };
const object = (i) => fetch("/object/" + i).then((r) => r.text()).then((t) => { if (t === "object " + i) window.seen.objects++; });
const echo = new Promise((done, fail) => {
  const ws = new WebSocket(location.origin.replace("http", "ws") + "/echo");
  const texts = ["one", "x".repeat(70000), "three"];
  ws.onopen = () => ws.send(texts[0]);
  ws.onerror = fail;
  ws.onmessage = (m) => {
    window.seen.echoes.push(m.data.length);
    window.seen.echoes.length < texts.length ? ws.send(texts[window.seen.echoes.length]) : ws.close(1000);
  };
  ws.onclose = (e) => { window.seen.code = e.code; done(); };
});
Promise.all([...Array(100).keys()].map(object).concat(echo)).then(() => { document.title = "done"; }, (e) => {
  window.seen.error = String(e); document.title = "done badly"; });
</script>`;

const server = createServer((request, response) => {
  const [path, query] = request.url.split("?");
  if (path === "/") {
    response.setHeader("Content-Type", "text/html");
    response.end(PAGE);
  } else if (path.startsWith("/object/")) {
    response.end(`object ${path.slice(8)}`);
  } else if (path === "/sink") {
    const hash = createHash("sha256");
    let n = 0;
    request.on("data", (d) => { n += d.length; hash.update(d); });
    request.on("end", () => response.end(`${n} ${hash.digest("hex")}\n`));
  } else if (path === "/source") {
    let left = Number(query);
    const piece = Buffer.alloc(65536, "0123456789abcdef");
    response.setHeader("Content-Length", left);
    const more = () => {
      while (left > 0) {
        const n = Math.min(left, piece.length);
        left -= n;
        if (!response.write(piece.subarray(0, n))) return response.once("drain", more);
      }
      return response.end();
    };
    more();
  } else {
    response.end("ok");
  }
});

// RFC 6455: whole frames of the client are sent back, unmasked.
server.on("upgrade", (request, socket) => {
  const accept = createHash("sha1").update(request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest("base64");
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
  let kept = Buffer.alloc(0);
  socket.on("error", () => {});
  socket.on("data", (data) => {
    kept = Buffer.concat([kept, data]);
    for (;;) {
      if (kept.length < 2) return;
      let n = kept[1] & 127, at = 2;
      if (n === 126) { if (kept.length < 4) return; n = kept.readUInt16BE(2); at = 4; }
      if (n === 127) { if (kept.length < 10) return; n = Number(kept.readBigUInt64BE(2)); at = 10; }
      if (kept.length < at + 4 + n) return;
      const mask = kept.subarray(at, at + 4), text = Buffer.from(kept.subarray(at + 4, at + 4 + n));
      for (let i = 0; i < n; i++) text[i] ^= mask[i % 4];
      const size = n < 126 ? Buffer.from([n]) : n < 65536 ? Buffer.from([126, n >> 8, n & 255]) : Buffer.concat([Buffer.from([127]), Buffer.alloc(8)]);
      if (n >= 65536) size.writeBigUInt64BE(BigInt(n), 1);
      socket.write(Buffer.concat([Buffer.from([kept[0]]), size, text]));
      if ((kept[0] & 15) === 8) return socket.end();
      kept = kept.subarray(at + 4 + n);
    }
  });
});
server.listen(Number(process.argv[2]), "127.0.0.1");
