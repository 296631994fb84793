// The other half of make_vectors.py: what jose makes of a key of its own, and how it judges.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import path from 'node:path';

const require = createRequire(path.join(process.env.JOSE, 'x.js'));
const jose = await import(pathToFileURL(require.resolve('jose')).href);
const input = await new Promise((done) => {
  let text = '';
  process.stdin.on('data', (d) => { text += d; }).on('end', () => done(JSON.parse(text)));
});
const now = input.now;

async function good(jwks, token) {
  try {
    const head = jose.decodeProtectedHeader(token);
    const jwk = jwks.keys.find((k) => k.kid === head.kid);
    const key = await jose.importJWK(jwk, head.alg);
    await jose.jwtVerify(token, key, { issuer: input.make.iss, audience: 'shop',
      clockTolerance: 60, currentDate: new Date(now * 1000) });
    return true;
  } catch {
    return false;
  }
}

const made = [];
for (const alg of ['RS256', 'ES256', 'EdDSA', 'HS256']) {
  const kid = `jose-${alg}`;
  let priv, jwk;
  if (alg === 'HS256') {
    priv = new Uint8Array(48).map((_, i) => i * 5 + 1);
    jwk = { kty: 'oct', k: jose.base64url.encode(priv) };
  } else {
    const pair = await jose.generateKeyPair(alg, { extractable: true, crv: 'Ed25519' });
    priv = pair.privateKey;
    jwk = await jose.exportJWK(pair.publicKey);
  }
  jwk = { ...jwk, kid, alg, use: 'sig' };
  const make = (claims, head) => new jose.SignJWT({ ...input.make, ...claims })
    .setProtectedHeader({ alg, kid, ...head }).sign(priv);
  const row = (name, token, ok) => made.push(
    { name: `jose ${alg}, ${name}`, jwks: { keys: [jwk] }, token, good: ok });
  row('plain', await make({}), true);
  row('typ', await make({}, { typ: 'JWT' }), true);
  row('roles', await make({ roles: ['admin', 'user'], scope: 'a:b c' }), true);
  row('expired', await make({ exp: now - 61 }), false);
  row('another audience', await make({ aud: ['x', 'y'] }), false);
}
const judged = [];
for (const r of input.judge) judged.push(await good(r.jwks, r.token));
process.stdout.write(JSON.stringify({ made, judged }));
