"""Signs what it is told with PyJWT: reads {"wanted": [{name, alg, key, header, payload}]}, answers {"jwks", "tokens"}."""
import json
import sys

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt import algorithms
from jwt.api_jws import PyJWS

keys = {
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "rsa": rsa.generate_private_key(65537, 2048),
    "svid": ec.generate_private_key(ec.SECP256R1()),
    # Is in no key set.
    "stranger": ec.generate_private_key(ec.SECP256R1()),
}
maker = {"p256": "ES256", "p384": "ES384", "ed25519": "EdDSA", "rsa": "RS256", "svid": "ES256"}


def public(name):
    algorithm = algorithms.get_default_algorithms()[maker[name]]
    jwk = json.loads(algorithm.to_jwk(keys[name].public_key()))
    jwk.update(kid=name, use="jwt-svid" if name == "svid" else "sig")
    return jwk


def sign(alg, key, header, payload):
    secret = None if alg == "none" else "a secret that both sides share, of 32 bytes or more" if alg.startswith("HS") else keys[key]
    return PyJWS().encode(payload.encode(), secret, algorithm=alg, headers=header)


work = json.load(sys.stdin)
json.dump(
    {
        "jwks": {"keys": [public(name) for name in maker]},
        "tokens": {w["name"]: sign(w["alg"], w["key"], w["header"], w["payload"]) for w in work["wanted"]},
    },
    sys.stdout,
)
