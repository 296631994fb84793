// QR codes (ISO/IEC 18004) of up to 271 bytes: byte mode, level L, versions 1 to 10, as an SVG.
"use strict";

// Version → codewords in all, of them for correction in each block, blocks, centres of the alignment patterns.
const QR_VERSIONS = [
  null,
  [26, 7, 1, []],
  [44, 10, 1, [6, 18]],
  [70, 15, 1, [6, 22]],
  [100, 20, 1, [6, 26]],
  [134, 26, 1, [6, 30]],
  [172, 18, 2, [6, 34]],
  [196, 20, 2, [6, 22, 38]],
  [242, 24, 2, [6, 24, 42]],
  [292, 30, 2, [6, 26, 46]],
  [346, 18, 4, [6, 28, 50]],
];

const QR_MASKS = [
  (y, x) => (y + x) % 2 === 0,
  (y) => y % 2 === 0,
  (y, x) => x % 3 === 0,
  (y, x) => (y + x) % 3 === 0,
  (y, x) => (Math.floor(y / 2) + Math.floor(x / 3)) % 2 === 0,
  (y, x) => ((y * x) % 2) + ((y * x) % 3) === 0,
  (y, x) => (((y * x) % 2) + ((y * x) % 3)) % 2 === 0,
  (y, x) => (((y + x) % 2) + ((y * x) % 3)) % 2 === 0,
];

// ---- Reed-Solomon over GF(256), polynomial 0x11d

function qrTimes(a, b) {
  let product = 0;
  for (let bit = 7; bit >= 0; bit--) product = (product << 1) ^ (product & 128 ? 0x11d : 0) ^ ((b >> bit) & 1 ? a : 0);
  return product;
}

function qrCorrection(data, n) {
  const generator = new Array(n).fill(0); // without its leading 1
  generator[n - 1] = 1;
  for (let i = 0, root = 1; i < n; i++, root = qrTimes(root, 2))
    for (let j = 0; j < n; j++) generator[j] = qrTimes(generator[j], root) ^ (generator[j + 1] ?? 0);
  const rest = new Array(n).fill(0);
  for (const byte of data) {
    const factor = byte ^ rest.shift();
    rest.push(0);
    for (let j = 0; j < n; j++) rest[j] ^= qrTimes(generator[j], factor);
  }
  return rest;
}

// ---- What it says: mode, length, bytes, padding; in blocks, interleaved

function qrCodewords(bytes, version) {
  const [all, correction, blocks] = QR_VERSIONS[version];
  const room = all - correction * blocks;
  const bits = [];
  const put = (value, n) => {
    for (let i = n - 1; i >= 0; i--) bits.push((value >> i) & 1);
  };
  put(4, 4);
  put(bytes.length, version < 10 ? 8 : 16);
  for (const byte of bytes) put(byte, 8);
  put(0, Math.min(4, room * 8 - bits.length));
  put(0, (8 - (bits.length % 8)) % 8);
  for (let pad = 0xec; bits.length < room * 8; pad ^= 0xec ^ 0x11) put(pad, 8);
  const data = [];
  for (let i = 0; i < bits.length; i += 8) data.push(bits.slice(i, i + 8).reduce((byte, bit) => (byte << 1) | bit, 0));
  // The last blocks are one longer when it does not come out even.
  const short = Math.floor(room / blocks);
  const long = room % blocks;
  const parts = [];
  for (let i = 0, at = 0; i < blocks; i++) {
    const n = short + (i >= blocks - long ? 1 : 0);
    parts.push(data.slice(at, at + n));
    at += n;
  }
  const checks = parts.map((part) => qrCorrection(part, correction));
  const out = [];
  for (let i = 0; i <= short; i++) for (const part of parts) if (i < part.length) out.push(part[i]);
  for (let i = 0; i < correction; i++) for (const check of checks) out.push(check[i]);
  return out;
}

// ---- Where it is drawn

// A remainder of BCH codes: of `value` shifted by the degree of `polynomial`.
function qrRemainder(value, polynomial, degree) {
  let rest = value << degree;
  for (let i = 31; i >= degree; i--) if ((rest >>> i) & 1) rest ^= polynomial << (i - degree);
  return rest;
}

function qrPatterns(version) {
  const size = 17 + 4 * version;
  const dark = Array.from({ length: size }, () => new Array(size).fill(false));
  const fixed = Array.from({ length: size }, () => new Array(size).fill(false));
  const set = (y, x, on) => {
    if (y < 0 || x < 0 || y >= size || x >= size) return;
    dark[y][x] = on;
    fixed[y][x] = true;
  };
  for (let i = 0; i < size; i++) {
    set(6, i, i % 2 === 0);
    set(i, 6, i % 2 === 0);
  }
  for (const [cy, cx] of [[3, 3], [3, size - 4], [size - 4, 3]])
    for (let y = -4; y <= 4; y++)
      for (let x = -4; x <= 4; x++) {
        const ring = Math.max(Math.abs(y), Math.abs(x));
        set(cy + y, cx + x, ring !== 2 && ring !== 4);
      }
  const centres = QR_VERSIONS[version][3];
  const last = centres.at(-1);
  for (const cy of centres)
    for (const cx of centres) {
      if ((cy === 6 && cx === 6) || (cy === 6 && cx === last) || (cy === last && cx === 6)) continue;
      for (let y = -2; y <= 2; y++) for (let x = -2; x <= 2; x++) set(cy + y, cx + x, Math.max(Math.abs(y), Math.abs(x)) !== 1);
    }
  if (version >= 7) {
    const info = (version << 12) | qrRemainder(version, 0x1f25, 12);
    for (let i = 0; i < 18; i++) {
      set(Math.floor(i / 3), size - 11 + (i % 3), Boolean((info >> i) & 1));
      set(size - 11 + (i % 3), Math.floor(i / 3), Boolean((info >> i) & 1));
    }
  }
  return { size, dark, fixed, set };
}

function qrFormat({ size, set }, mask) {
  const data = (1 << 3) | mask; // 01: level L
  const info = ((data << 10) | qrRemainder(data, 0x537, 10)) ^ 0x5412;
  const bit = (i) => Boolean((info >> i) & 1);
  for (let i = 0; i < 6; i++) set(i, 8, bit(i));
  set(7, 8, bit(6));
  set(8, 8, bit(7));
  set(8, 7, bit(8));
  for (let i = 9; i < 15; i++) set(8, 14 - i, bit(i));
  for (let i = 0; i < 8; i++) set(8, size - 1 - i, bit(i));
  for (let i = 8; i < 15; i++) set(size - 15 + i, 8, bit(i));
  set(size - 8, 8, true);
}

function qrFill({ size, dark, fixed }, codewords, mask) {
  let at = 0;
  for (let right = size - 1; right >= 1; right -= 2) {
    if (right === 6) right = 5;
    const up = ((right + 1) & 2) === 0;
    for (let step = 0; step < size; step++)
      for (let side = 0; side < 2; side++) {
        const x = right - side;
        const y = up ? size - 1 - step : step;
        if (fixed[y][x]) continue;
        const on = at < codewords.length * 8 && (codewords[at >> 3] >> (7 - (at & 7))) & 1;
        dark[y][x] = Boolean(on) !== QR_MASKS[mask](y, x);
        at++;
      }
  }
}

// How hard it is to read: runs, squares, and how far from half of it is dark.
function qrPenalty({ size, dark }) {
  let penalty = 0;
  let count = 0;
  for (let y = 0; y < size; y++)
    for (let x = 0; x < size; x++) {
      count += dark[y][x];
      const square = y && x && dark[y][x] === dark[y - 1][x] && dark[y][x] === dark[y][x - 1] && dark[y][x] === dark[y - 1][x - 1];
      if (square) penalty += 3;
    }
  for (const at of [(a, b) => dark[a][b], (a, b) => dark[b][a]])
    for (let a = 0; a < size; a++)
      for (let b = 0, run = 0; b < size; b++) {
        run = b && at(a, b) === at(a, b - 1) ? run + 1 : 1;
        penalty += run === 5 ? 3 : run > 5 ? 1 : 0;
        const seven = b >= 6 && [1, 0, 1, 1, 1, 0, 1].every((on, i) => at(a, b - 6 + i) === Boolean(on));
        const light = (from) => [0, 1, 2, 3].every((i) => from + i < 0 || from + i >= size || !at(a, from + i));
        if (seven && (light(b - 10) || light(b + 1))) penalty += 40;
      }
  return penalty + 10 * Math.floor(Math.abs(count * 20 - size * size * 10) / (size * size));
}

// Rows of true (dark) and false; null when the text is too long. `mask`: the one that reads best.
function qrCode(text, mask) {
  const bytes = new TextEncoder().encode(text);
  const fits = (version) => {
    const [all, correction, blocks] = QR_VERSIONS[version];
    return bytes.length + (version < 10 ? 2 : 3) <= all - correction * blocks;
  };
  let version = 1;
  while (version < QR_VERSIONS.length && !fits(version)) version++;
  if (version === QR_VERSIONS.length) return null;
  const codewords = qrCodewords(bytes, version);
  const masks = mask === undefined ? [...QR_MASKS.keys()] : [mask];
  const codes = masks.map((m) => {
    const code = qrPatterns(version);
    qrFormat(code, m);
    qrFill(code, codewords, m);
    return code;
  });
  return codes.reduce((best, code) => (qrPenalty(code) < qrPenalty(best) ? code : best)).dark;
}

function qrSvg(text) {
  const rows = qrCode(text);
  if (!rows) return null;
  const ns = "http://www.w3.org/2000/svg";
  const size = rows.length + 8; // with the quiet zone
  const svg = document.createElementNS(ns, "svg");
  const path = document.createElementNS(ns, "path");
  svg.setAttribute("viewBox", `0 0 ${size} ${size}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", "QR code of the key below");
  path.setAttribute("d", rows.flatMap((row, y) => row.map((on, x) => (on ? `M${x + 4} ${y + 4}h1v1h-1z` : ""))).join(""));
  svg.append(path);
  return svg;
}
