#!/usr/bin/env python3
"""Tokens for the verifier's test, made and judged by jwcrypto (Debian's python3-jwcrypto) and by
jose 5 (npm, in FOLDER/node_modules) through make_vectors.mjs:

    JOSE=FOLDER /usr/bin/python3 make_vectors.py > vectors.json

Each of them judges what the other one made; a row where they differ is not written."""
import json
import os
import pathlib
import subprocess
import sys

from jwcrypto import jwk, jws, jwt

NOW = 1800000000
HERE = pathlib.Path(__file__).resolve().parent
CLAIMS = {"iss": "https://id.example", "aud": "shop", "sub": "ann", "iat": NOW - 10,
          "nbf": NOW - 10, "exp": NOW + 600}
KINDS = {"RS256": dict(kty="RSA", size=2048), "ES256": dict(kty="EC", crv="P-256"),
         "EdDSA": dict(kty="OKP", crv="Ed25519"), "HS256": dict(kty="oct", size=256)}


def public(key):
    return json.loads(key.export() if key["kty"] == "oct" else key.export_public())


def sign(key, header, claims):
    token = jwt.JWT(header=header, claims=claims)
    token.make_signed_token(key)
    return token.serialize()


def flip(token, part):
    parts = token.split(".")
    text = parts[part]
    at = len(text) // 2
    parts[part] = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1:]
    return ".".join(parts)


def rows():
    for alg, how in KINDS.items():
        key = jwk.JWK.generate(kid=f"{alg}-1", **how)
        other = jwk.JWK.generate(kid=f"{alg}-2", **how)
        keys = {"keys": [public(other), public(key)]}
        head = {"alg": alg, "kid": f"{alg}-1", "typ": "JWT"}
        good = sign(key, head, CLAIMS)
        yield f"{alg}", keys, good, True
        yield f"{alg}, list of audiences", keys, sign(
            key, head, {**CLAIMS, "aud": ["a", "shop"]}), True
        yield f"{alg}, nested claims and text", keys, sign(
            key, head, {**CLAIMS, "name": "Zoë \U0001f600", "a": {"b": [1, {"c": None}]}}), True
        yield f"{alg}, access token", keys, sign(key, {**head, "typ": "at+jwt"}, CLAIMS), True
        yield f"{alg}, expired", keys, sign(key, head, {**CLAIMS, "exp": NOW - 100}), False
        yield f"{alg}, not yet", keys, sign(key, head, {**CLAIMS, "nbf": NOW + 100}), False
        yield f"{alg}, another audience", keys, sign(key, head, {**CLAIMS, "aud": "x"}), False
        yield f"{alg}, another issuer", keys, sign(key, head, {**CLAIMS, "iss": "x"}), False
        yield f"{alg}, claims changed", keys, flip(good, 1), False
        yield f"{alg}, signature changed", keys, flip(good, 2), False
        stranger = jwk.JWK.generate(kid=f"{alg}-1", **how)
        yield f"{alg}, a stranger's key", keys, sign(stranger, head, CLAIMS), False


def jose(task):
    out = subprocess.run(["node", str(HERE / "make_vectors.mjs")], input=json.dumps(task),
                         capture_output=True, text=True, check=True, env={**os.environ})
    return json.loads(out.stdout)


def judge(keys, token):
    """By jwcrypto, with the same rules."""
    try:
        key = jwk.JWKSet.from_json(json.dumps(keys)).get_key(
            json.loads(jws.base64url_decode(token.split(".")[0]))["kid"])
        one = jws.JWS()
        one.allowed_algs = list(KINDS)
        one.deserialize(token, key)
        claims = json.loads(one.payload)
        audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        return (claims["iss"] == CLAIMS["iss"] and "shop" in audience
                and claims["exp"] + 60 > NOW and claims["nbf"] - 60 <= NOW)
    except Exception:  # pylint: disable=broad-except
        return False


def main():
    made = [dict(name="jwcrypto " + n, jwks=k, token=t, good=g) for n, k, t, g in rows()]
    theirs = jose({"make": CLAIMS, "judge": made, "now": NOW})
    assert theirs["judged"] == [r["good"] for r in made], "jose judges otherwise"
    for row in theirs["made"]:
        assert judge(row["jwks"], row["token"]) == row["good"], row["name"]
    json.dump(made + theirs["made"], sys.stdout, indent=0, ensure_ascii=True)
    print()


if __name__ == "__main__":
    main()
