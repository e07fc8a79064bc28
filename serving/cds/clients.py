"""Clients of CDS Hooks, told by tokens that they sign: JSON Web Tokens (RFC 7519) of keys that a file holds.

No address in a token is ever opened: a client's keys are in the file, as the JSON Web Key Set it publishes.

    {"clients": [{"issuer": "https://ehr.example", "jwks": {"keys": [...]}, "origins": ["https://ehr.example"],
                  "requests_per_minute": 600}]}
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jwt
from pydantic import Field, ValidationError, field_validator, model_validator

from features.errors import SequelaError
from features.schema import Frozen
from serving.cds.client_keys import ALGORITHMS, usable_keys
from serving.watched import WatchedFile

logger = logging.getLogger("bentoml.sequela")

LONGEST = 16_000
"""Characters of a token."""
LONGEST_SECONDS = 3600
"""That a token may be valid."""
LEEWAY_SECONDS = 30
ORIGIN = r"https?://([a-z0-9-]+(\.[a-z0-9-]+)*|\[[0-9a-f:.]+\])(:\d{1,5})?"
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
    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    """More are answered 429; absent: no limit."""

    @field_validator("jwks")
    @classmethod
    def _usable(cls, jwks: dict[str, Any]) -> dict[str, Any]:
        usable_keys(jwks)
        return jwks

    @field_validator("origins")
    @classmethod
    def _as_browsers_say(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if re.fullmatch(ORIGIN, origin) is None:
                msg = (
                    f"{origin[:64]!r} is no origin as browsers say it, https://ehr.example or https://ehr.example:8443 "
                    "in small letters, without a path or a slash at its end; * and null would let any page in"
                )
                raise ValueError(msg)
        return origins


class _ClientFile(Frozen):
    clients: tuple[Client, ...]

    @model_validator(mode="after")
    def _told_apart(self) -> _ClientFile:
        named = [(one.issuer, kid) for one in self.clients for kid in usable_keys(one.jwks)]
        if len(set(named)) < len(named):
            msg = "two clients of one issuer name keys by one kid; give each its own"
            raise ValueError(msg)
        return self


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


@dataclass(frozen=True, slots=True)
class Shown:
    """What a token is worth."""

    client: Client | None = None
    """Who may call with it; None: nobody."""
    signed: bool = False
    """Whether a client signed it; one that is late, used up or for another path is no guess at a key."""


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
        self._keys: Mapping[tuple[str, str], tuple[Client, jwt.PyJWK]] = {
            (client.issuer, kid): (client, key) for client in clients for kid, key in usable_keys(client.jwks).items()
        }

    def shown(self, token: str, path: str) -> Shown:
        """What a token is worth for a path of ours.

        Args:
            token: As it came.
            path: That is asked for, as ``/cds-services``.
        """
        self.look_again()
        if len(token) > LONGEST:
            return Shown()
        try:
            return self._shown(token, path)
        except (jwt.PyJWTError, ValueError, TypeError):
            return Shown()

    def _shown(self, token: str, path: str) -> Shown:
        head = jwt.get_unverified_header(token)
        said = jwt.decode(token, options={"verify_signature": False, "verify_exp": False, "verify_aud": False})
        client, key = self._keys.get((str(said.get("iss")), str(head.get("kid"))), (None, None))
        algorithm = ALGORITHMS.get(str(key.key_type)) if key is not None else None
        if client is None or key is None or algorithm is None:
            return Shown()
        jwt.decode(
            token,
            key.key,
            algorithms=[algorithm],
            options={"verify_exp": False, "verify_aud": False, "verify_nbf": False, "verify_iat": False},
        )
        try:
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                leeway=LEEWAY_SECONDS,
                audience=[self._audience, f"{self._audience}/", f"{self._audience}{path}"],
                options={"require": ["iss", "aud", "exp", "iat", "jti"]},
            )
        except jwt.PyJWTError:
            return Shown(signed=True)
        if not claims["jti"]:
            return Shown(signed=True)
        fresh = claims["exp"] - claims["iat"] <= LONGEST_SECONDS and self._first(claims)
        return Shown(client if fresh else None, signed=True)

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

    def look_again(self) -> None:
        """Read the file, if it is another than before; one that cannot be read changes nothing."""
        if self._file.changed():
            try:
                self._take(read_clients(self._file.path))
            except SequelaError as error:
                logger.error("Clients stay as they were: %s", error)
