"""Public keys of clients: which of a JSON Web Key Set (RFC 7517) can be used here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

ALGORITHMS: Mapping[str, str] = {"EC": "ES384", "RSA": "RS384"}
"""What CDS Hooks recommends, by kind of key; never ``none``, never a symmetric one."""
LEAST_BITS = 2048


def usable_keys(jwks: Mapping[str, Any]) -> dict[str, jwt.PyJWK]:
    """The keys that tokens may be signed with, by ``kid``.

    Sets are made for many readers: keys of other curves and kinds, for encryption or for other algorithms are skipped.

    Raises:
        ValueError: It is no set, it holds a private key or two of one kid, or no key that can be used.
    """
    given = jwks.get("keys")
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        msg = "jwks is no set of public keys: it holds a list named keys"
        raise ValueError(msg)
    if any("d" in one or "k" in one for one in given):
        msg = "jwks must hold public keys with a kid: one is private or symmetric; give the public half of a new pair"
        raise ValueError(msg)
    found: dict[str, jwt.PyJWK] = {}
    for one in given:
        key = _usable(one)
        if key is None:
            continue
        if str(key.key_id) in found:
            msg = "jwks names two keys by one kid; give each its own"
            raise ValueError(msg)
        found[str(key.key_id)] = key
    if not found:
        msg = f"jwks must hold public keys with a kid: of the curve P-384, or RSA of at least {LEAST_BITS} bits"
        raise ValueError(msg)
    return found


def _usable(given: dict[str, Any]) -> jwt.PyJWK | None:
    """A key of a kind that is taken, and meant for signatures; None for any other."""
    algorithm = ALGORITHMS.get(str(given.get("kty")))
    for_this = given.get("use", "sig") == "sig" and given.get("alg", algorithm) == algorithm
    verifies = "verify" in given.get("key_ops", ("verify",))
    if algorithm is None or not given.get("kid") or not for_this or not verifies:
        return None
    try:
        key = jwt.PyJWK.from_dict(given, algorithm)
    except (jwt.PyJWTError, KeyError, TypeError, ValueError):
        return None
    return key if _is_strong(key.key) else None


def _is_strong(public: object) -> bool:
    if isinstance(public, EllipticCurvePublicKey):
        return public.curve.name == "secp384r1"
    return isinstance(public, RSAPublicKey) and public.key_size >= LEAST_BITS
