// An OpenID Connect provider for the tests: npm's oidc-provider, with people by their name.
// usage: node provider.mjs PORT REDIRECT_URI
import { Provider } from "oidc-provider";
import { generateKeyPairSync } from "node:crypto";

const [port, redirect] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const key = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" });

const people = {
  ann: { email: "ann@example.org", email_verified: true, roles: ["user"] },
  root: { email: "root@example.org", email_verified: true, roles: ["admin", "staff"] },
  guest: { email: "guest@example.org", email_verified: true, roles: ["guest"] },
  plain: { email: "plain@example.org", email_verified: true },
  liar: { email: "ann@example.org", email_verified: false, roles: ["admin"] },
};

const provider = new Provider(issuer, {
  clients: [{ client_id: "feedback", client_secret: "a secret with / and :", redirect_uris: [redirect] }],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["roles"] },
  conformIdTokenClaims: false,
  jwks: { keys: [{ ...key, kid: "k1", use: "sig", alg: "RS256" }] },
  cookies: { keys: ["only for tests"] },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...people[id] }) }),
  // Nobody is asked whether he agrees.
  async loadExistingGrant(ctx) {
    const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope("openid email profile");
    await grant.save();
    return grant;
  },
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
