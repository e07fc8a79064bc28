"""Clients of CDS Hooks: which keys and origins of a file are taken, and which files are refused with words."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from features.errors import SequelaError
from serving.cds.clients import Clients

Json = dict[str, Any]
PUBLIC, ISSUER = "https://sequela.example", "https://ehr.example"
KEY = ec.generate_private_key(ec.SECP384R1())
OTHER = ec.generate_private_key(ec.SECP384R1())


def public(key: Any = KEY, **more: Any) -> Json:
    """A key as the client publishes it."""
    algorithm: Any = jwt.algorithms.ECAlgorithm
    if isinstance(key, rsa.RSAPrivateKey):
        algorithm = jwt.algorithms.RSAAlgorithm
    if isinstance(key, ed25519.Ed25519PrivateKey):
        algorithm = jwt.algorithms.OKPAlgorithm
    found: Json = algorithm.to_jwk(key.public_key(), as_dict=True)
    return found | {"kid": "k"} | more


def token(key: Any = KEY, kid: str = "k", **claims: Any) -> str:
    now = int(time.time())
    said = {"iss": ISSUER, "aud": PUBLIC, "iat": now, "exp": now + 300, "jti": str(uuid.uuid4())} | claims
    return jwt.encode(said, key, algorithm="ES384", headers={"kid": kid})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clients.json"


def written(path: Path, *clients: Json) -> Clients:
    path.write_text(json.dumps({"clients": [{"issuer": ISSUER} | one for one in clients]}), "utf-8")
    return Clients(path, PUBLIC)


def opens(clients: Clients, shown: str) -> bool:
    return clients.shown(shown, "/cds-services").client is not None


def test_a_set_for_many_readers_is_read_for_what_can_be_used(path: Path) -> None:
    """As those of identity servers: Ed25519, P-256, RSA for encryption, and keys whose kinds are not known here."""
    big = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    keys = [
        public(ed25519.Ed25519PrivateKey.generate(), kid="ed"),
        public(ec.generate_private_key(ec.SECP256R1()), kid="p256"),
        public(OTHER, kid="enc", use="enc"),
        public(OTHER, kid="ops", key_ops=["encrypt"]),
        public(big, kid="rs256", alg="RS256"),
        {"kty": "new", "kid": "new"},
        public(),
    ]
    clients = written(path, {"jwks": {"keys": keys}})
    assert opens(clients, token())
    for kid in ("enc", "ops", "p256", "ed"):
        assert not opens(clients, token(OTHER, kid)), kid


@pytest.mark.parametrize(
    ("keys", "rule"),
    [
        ([public(use="enc")], "public keys with a kid"),
        ([public(alg="ES256")], "public keys with a kid"),
        ([public(), public(OTHER)], "two keys by one kid"),
        ([public(), {"kty": "oct", "k": "c2VjcmV0", "kid": "s"}], "private or symmetric"),
        ([], "public keys with a kid"),
        ("none", "no set of public keys"),
        ([1], "no set of public keys"),
    ],
)
def test_sets_without_a_key_that_can_be_used_or_with_two_of_a_name_are_refused(
    path: Path, keys: Any, rule: str
) -> None:
    with pytest.raises(SequelaError, match=rf"clients\.json: clients\.0\.jwks: .*{rule}"):
        written(path, {"jwks": {"keys": keys}})


def test_two_clients_of_one_issuer_have_keys_of_different_names(path: Path) -> None:
    with pytest.raises(SequelaError, match="two clients of one issuer name keys by one kid"):
        written(path, {"jwks": {"keys": [public()]}}, {"jwks": {"keys": [public(OTHER)]}})
    both = written(path, {"jwks": {"keys": [public()]}}, {"jwks": {"keys": [public(OTHER, kid="o")]}})
    assert opens(both, token())
    assert opens(both, token(OTHER, "o"))


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "https://ehr.example/",
        "https://ehr.example/app",
        "ehr.example",
        "https://EHR.example",
        "",
        "https://a b",
    ],
)
def test_origins_that_let_any_page_in_or_none_are_refused(path: Path, origin: str) -> None:
    with pytest.raises(SequelaError, match=r"clients\.0\.origins: .*is no origin as browsers say it"):
        written(path, {"jwks": {"keys": [public()]}, "origins": [origin]})


@pytest.mark.parametrize("origin", ["https://ehr.example", "http://ehr:8080", "https://[::1]:8443"])
def test_origins_as_browsers_say_them_are_taken(path: Path, origin: str) -> None:
    assert written(path, {"jwks": {"keys": [public()]}, "origins": [origin]}).origins == (origin,)


def test_a_token_has_a_name(path: Path) -> None:
    clients = written(path, {"jwks": {"keys": [public()]}})
    shown = clients.shown(token(jti=""), "/cds-services")
    assert (shown.client, shown.signed) == (None, True)
