// What llhttp, node's parser, understands of a stream of messages: the same records and lines as meaning.c.
'use strict';
process.noDeprecation = true;
const { HTTPParser } = process.binding('http_parser');
const { methods, allMethods } = process.binding('http_parser');
const names = allMethods || methods;
const hex = (s) => Buffer.from(s, 'latin1').toString('hex');

function understand(kind, bytes) {
  const out = [];
  let fields = [], early = '', current = null, end = '', why = '';
  const parser = new HTTPParser();
  parser.initialize(kind === 'Q' ? HTTPParser.REQUEST : HTTPParser.RESPONSE, {}, 1 << 20, HTTPParser.kLenientNone);
  parser[HTTPParser.kOnMessageBegin | 0] = () => { fields = []; early = ''; current = null; };
  parser[HTTPParser.kOnHeaders | 0] = (more, url) => {
    if (!current) { fields.push(...more); early += url; } // many fields come in parts
  };
  parser[HTTPParser.kOnHeadersComplete | 0] =
    (major, minor, headers, method, url, status, reason, upgrade, keep) => {
      if (headers) fields.push(...headers);
      const line = kind === 'Q' ? [hex(names[method]), hex(url || early)] : [status, hex(reason)];
      const pairs = [];
      for (let i = 0; i < fields.length; i += 2) pairs.push(`${hex(fields[i])}=${hex(fields[i + 1])}`);
      current = { head: [...line, minor, pairs.join('&')], body: [], upgrade, keep, major };
      out.push(current);
      return kind === 'H' ? 1 : 0;
    };
  parser[HTTPParser.kOnBody | 0] = (data) => { current.body.push(Buffer.from(data)); };
  parser[HTTPParser.kOnMessageComplete | 0] = () => { current.complete = true; current = null; };
  const result = parser.execute(bytes, 0, bytes.length);
  if (result instanceof Error) {
    end = current ? 'bad-body' : 'bad';
    why = result.reason || result.code;
  } else if (out.length && out.at(-1).upgrade) {
    end = 'upgrade';
  } else if (current) {
    end = 'more-body';
  }
  const text = out.map((m) => ` ${m.head.join(':')}:${Buffer.concat(m.body).toString('hex')}`).join('');
  const upgrades = out.map((m) => (m.upgrade ? 'u' : m.keep ? 'k' : 'c')).join('');
  return `${end || 'done'}\t${String(why).replace(/\s/g, ' ')}\t${text}\t${upgrades}\n`;
}

const input = require('fs').readFileSync(0);
const lines = [];
for (let at = 0; at < input.length;) {
  const kind = String.fromCharCode(input[at]), n = input.readUInt32BE(at + 1);
  lines.push(understand(kind, input.subarray(at + 5, at + 5 + n)));
  at += 5 + n;
}
process.stdout.write(lines.join(''));
