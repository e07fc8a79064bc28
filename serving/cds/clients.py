"""Clients of CDS Hooks, told by tokens that they sign: JSON Web Tokens (RFC 7519) of keys that a file holds.

No address in a token is ever opened: a client's keys are in the file, as the JSON Web Key Set it publishes.

    {"clients": [{"issuer": "https://ehr.example", "jwks": {"keys": [...]}, "origins": ["https://ehr.example"]}]}
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import jwt
from pydantic import Field, ValidationError, field_validator

from features.errors import SequelaError
from features.schema import Frozen
from serving.watched import WatchedFile

logger = logging.getLogger("bentoml.sequela")

ALGORITHMS = ("ES384", "RS384")
"""What CDS Hooks recommends; never ``none``, never a symmetric one."""
LONGEST_SECONDS = 3600
"""That a token may be valid."""
LEEWAY_SECONDS = 30
MOST_SEEN = 100_000
"""Tokens of which it is remembered that they were used."""


class Client(Frozen):
    """One that may call."""

    issuer: Annotated[str, Field(min_length=1, max_length=1_000)]
    """As its tokens say (``iss``)."""
    jwks: dict[str, Any]
    """Its public keys (RFC 7517), each with its ``kid``."""
    origins: tuple[str, ...] = ()
    """Of its pages that call from a browser, as ``https://ehr.example``."""

    @field_validator("jwks")
    @classmethod
    def _usable(cls, jwks: dict[str, Any]) -> dict[str, Any]:
        try:
            found = jwt.PyJWKSet.from_dict(jwks).keys
        except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
            msg = f"jwks is no set of public keys ({type(error).__name__})"
            raise ValueError(msg) from None
        if not all(key.key_id for key in found) or not all(key.key_type in ("EC", "RSA") for key in found):
            msg = "jwks must name each key (kid), and hold EC and RSA keys alone"
            raise ValueError(msg)
        return jwks


class _ClientFile(Frozen):
    clients: tuple[Client, ...]


def read_clients(path: Path) -> tuple[Client, ...]:
    """The clients of a file.

    Raises:
        SequelaError: The file is not one of clients.
    """
    try:
        return _ClientFile.model_validate_json(path.read_bytes()).clients
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror}); docs/how-to/hospital.md says what it holds"
        raise SequelaError(msg) from error
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, fault["loc"])) or "file"
        msg = f"{path}: {where}: {fault['msg']}; docs/how-to/hospital.md says what it holds"
        raise SequelaError(msg) from error


class Clients:
    """The clients of a file that may change while it is in use.

    Args:
        path: The file.
        audience: Address of the service, as ``https://sequela.example``; tokens must be for it or for a path of it.

    Raises:
        SequelaError: The file is not one of clients.
    """

    def __init__(self, path: Path, audience: str) -> None:
        self._file, self._audience = WatchedFile(path), audience.rstrip("/")
        self._seen: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()
        self._take(read_clients(path))

    def _take(self, clients: tuple[Client, ...]) -> None:
        self.origins = tuple(sorted({origin for client in clients for origin in client.origins}))
        self._keys: Mapping[tuple[str, str], jwt.PyJWK] = {
            (client.issuer, str(key.key_id)): key
            for client in clients
            for key in jwt.PyJWKSet.from_dict(client.jwks).keys
        }

    def issuer_of(self, token: str, path: str) -> str | None:
        """Who signed a token for a path of ours; None: it is not to be trusted, for whatever reason.

        Args:
            token: As it came.
            path: That is asked for, as ``/cds-services``.
        """
        self._look_again()
        try:
            return self._issuer_of(token, path)
        except (jwt.PyJWTError, ValueError, TypeError):
            return None

    def _issuer_of(self, token: str, path: str) -> str | None:
        head = jwt.get_unverified_header(token)
        said = jwt.decode(token, options={"verify_signature": False, "verify_exp": False, "verify_aud": False})
        key = self._keys.get((str(said.get("iss")), str(head.get("kid"))))
        if key is None or head.get("alg") not in ALGORITHMS or key.key_type != {"E": "EC", "R": "RSA"}[head["alg"][0]]:
            return None
        claims = jwt.decode(
            token,
            key.key,
            algorithms=list(ALGORITHMS),
            audience=[self._audience, f"{self._audience}/", f"{self._audience}{path}"],
            leeway=LEEWAY_SECONDS,
            options={"require": ["iss", "aud", "exp", "iat", "jti"]},
        )
        if claims["exp"] - claims["iat"] > LONGEST_SECONDS or not self._first(claims):
            return None
        return str(claims["iss"])

    def _first(self, claims: Mapping[str, Any]) -> bool:
        """Whether a token is shown for the first time, to this worker."""
        name, now = (str(claims["iss"]), str(claims["jti"])[:200]), time.time()
        with self._lock:
            if self._seen.get(name, 0.0) > now:
                return False
            if len(self._seen) >= MOST_SEEN:
                self._seen = {one: until for one, until in self._seen.items() if until > now}
            self._seen[name] = float(claims["exp"]) + LEEWAY_SECONDS
        return True

    def _look_again(self) -> None:
        if self._file.changed():
            try:
                self._take(read_clients(self._file.path))
            except SequelaError as error:
                logger.error("Clients stay as they were: %s", error)
