#!/usr/bin/env bash
# PyJWT refuses a token of an Ed25519 key whose `alg` is `Ed25519`, and with it the key, if its set names that `alg`.
#
# software    PyJWT 2.15.1, joserfc 1.8.0 and cryptography 50.0.2 of PyPI
# behaviour   RFC 9864 gives the signatures that were `EdDSA` a name for each curve, and joserfc signs by either. PyJWT knows
#             the older one: the token is refused before its signature, which is the same, is looked at; and of a key set that
#             says `"alg": "Ed25519"` the key cannot be used for tokens of the older name, too
# seen        alg EdDSA: the signature is good, PyJWT takes the token
#             alg Ed25519: the signature is good, PyJWT says InvalidAlgorithmError
#             a key without alg: PyJWT takes it
#             a key of alg EdDSA: PyJWT takes it
#             a key of alg Ed25519: PyJWT says PyJWKError
# why here    Carillon's exchange of tokens takes both names, in tokens and in key sets (crates/auth/src/jwt/keys.rs): a
#             provider that changes to the newer one still loses those of its clients that check tokens by PyJWT
#
# Ends with 0 while this is so, with 1 when it changed. Needs python3 with pip; talks to PyPI only.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m pip install --quiet --disable-pip-version-check --target packages \
  PyJWT==2.15.1 joserfc==1.8.0 cryptography==50.0.2 >&2

cat > run.py <<'SCRIPT'
import base64
import sys

import joserfc.jwt
import jwt
from cryptography.exceptions import InvalidSignature
from joserfc.jwk import OKPKey

NAMES = ["EdDSA", "Ed25519"]
key = OKPKey.generate_key("Ed25519")
public = key.as_dict(private=False)


def is_genuine(token: str) -> bool:
    signed, _, signature = token.rpartition(".")
    try:
        raw = base64.urlsafe_b64decode(signature + "==")
        jwt.PyJWK(public).key.verify(raw, signed.encode())
    except InvalidSignature:
        return False
    return True


def of_token(name: str) -> str:
    token = joserfc.jwt.encode({"alg": name}, {"sub": "ana"}, key, algorithms=NAMES)
    signature = "good" if is_genuine(token) else "bad"
    try:
        jwt.decode(token, jwt.PyJWK(public).key, algorithms=NAMES)
        verdict = "takes the token"
    except jwt.InvalidTokenError as error:
        verdict = f"says {type(error).__name__}"
    return f"alg {name}: the signature is {signature}, PyJWT {verdict}"


def of_key(words: str, published: dict[str, str]) -> str:
    try:
        jwt.PyJWK(published)
        return f"a key {words}: PyJWT takes it"
    except jwt.PyJWTError as error:
        return f"a key {words}: PyJWT says {type(error).__name__}"


seen = [of_token(name) for name in NAMES]
seen.append(of_key("without alg", public))
seen += [of_key(f"of alg {name}", {**public, "alg": name}) for name in NAMES]
print("\n".join(seen))
sys.exit(
    seen
    != [
        "alg EdDSA: the signature is good, PyJWT takes the token",
        "alg Ed25519: the signature is good, PyJWT says InvalidAlgorithmError",
        "a key without alg: PyJWT takes it",
        "a key of alg EdDSA: PyJWT takes it",
        "a key of alg Ed25519: PyJWT says PyJWKError",
    ]
)
SCRIPT
PYTHONPATH=packages python3 -W ignore run.py
