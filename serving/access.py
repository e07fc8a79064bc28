"""Who may ask for what: bearer keys with scopes, and limits on how often (ASGI)."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.asking import asking
from serving.cds.clients import Clients, Shown
from serving.cds.services import is_hook
from serving.guard import HEADERS, PAGE_HEADERS, refusal, with_headers
from serving.keys import KeyRing
from serving.messages import Fault
from serving.page_files import FILES

OPEN = frozenset({"/livez", "/readyz", "/healthz"})
"""What orchestrators ask, and what says nothing of models or patients."""
SCOPES = {"/metrics": "admin", "/v1/explain": "explain", "/v1/monitor": "explain", "/v1/outcomes": "outcomes"}
"""The scope of a path; of every other path it is ``predict``."""
FAILURES_PER_MINUTE = 30
"""Wrong keys that an address may show; then it is answered 429 before its key is looked at."""
MOST_ADDRESSES = 10_000


class Bucket:
    """Tokens that come back evenly (token bucket): at most so many at once, and on average so many a minute."""

    __slots__ = ("at", "left", "per_minute")

    def __init__(self, per_minute: int) -> None:
        self.per_minute, self.left, self.at = per_minute, float(per_minute), time.monotonic()

    def wait_seconds(self) -> float:
        """Until there is a token; 0 if there is one."""
        now = time.monotonic()
        self.left = min(float(self.per_minute), self.left + (now - self.at) * self.per_minute / 60)
        self.at = now
        return 0.0 if self.left >= 1 else (1 - self.left) * 60 / self.per_minute

    def take(self) -> None:
        """Use a token up."""
        self.left -= 1


class Access:
    """Answers 401, 403 or 429 to whoever may not ask; without keys it answers this machine alone.

    Args:
        app: What answers.
        keys: Of applications; None: there are none.
        clients: Of CDS Hooks, who show tokens of their own on its paths; None: there are none.
    """

    def __init__(self, app: ASGIApp, keys: KeyRing | None, clients: Clients | None = None) -> None:
        self.app, self.keys, self.clients = app, keys, clients
        self._failures: OrderedDict[str, Bucket] = OrderedDict()
        self._uses: dict[str, Bucket] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        page = scope["path"] in FILES and scope["method"] in ("GET", "HEAD")
        send = with_headers(send, PAGE_HEADERS if page else HEADERS)
        open_to_all = scope["path"] in OPEN or (page and self.keys is not None)  # the page asks for a key itself
        if not open_to_all:
            refused = self._refused(scope)
            if refused is not None:
                await refused(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _refused(self, scope: Scope) -> Response | None:
        peer = str((scope.get("client") or ("",))[0])
        clients = self.clients if is_hook(scope["path"]) else None
        if self.keys is None and (clients is None or not _is_here(peer)):
            return None if _is_here(peer) else _no_keys()
        failures = self._of(peer)
        wait = failures.wait_seconds()
        if wait:
            return _too_often("wrong keys from this address", wait)
        kind, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
        token = token.strip() if kind.lower() == "bearer" else ""
        if clients is not None and token.count(".") == 2:
            return self._refused_client(clients.shown(token, scope["path"]), failures)
        key = self.keys.find(token) if self.keys is not None else None
        if key is None:
            failures.take()
            return _who_are_you()
        needed = SCOPES.get(scope["path"], "predict")
        if needed not in key.scopes:
            failures.take()
            return _not_yours(needed)
        asking().key_id = key.id
        return self._too_often(key.id, key.requests_per_minute)

    def _refused_client(self, shown: Shown, failures: Bucket) -> Response | None:
        """Of CDS Hooks; a token that a client signed, and that is late or used up, is no guess at a key."""
        if shown.client is None:
            if not shown.signed:
                failures.take()
            return _who_are_you()
        asking().key_id = shown.client.issuer
        return self._too_often(shown.client.issuer, shown.client.requests_per_minute)

    def _too_often(self, who: str, per_minute: int | None) -> Response | None:
        if per_minute is None:
            return None
        bucket = self._uses.get(who)
        if bucket is None or bucket.per_minute != per_minute:
            bucket = self._uses[who] = Bucket(per_minute)
        wait = bucket.wait_seconds()
        if wait:
            return _too_often("requests with this key", wait)
        bucket.take()
        return None

    def _of(self, peer: str) -> Bucket:
        """The failures of an address; the addresses longest silent are forgotten."""
        bucket = self._failures.pop(peer, None) or Bucket(FAILURES_PER_MINUTE)
        self._failures[peer] = bucket
        if len(self._failures) > MOST_ADDRESSES:
            self._failures.popitem(last=False)
        return bucket


def _is_here(peer: str) -> bool:
    """Whether it is this machine that asks; a socket of its own has no address."""
    return not peer or is_loopback(peer)


def is_loopback(host: str) -> bool:
    """Whether only this machine is at an address, or reaches it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _said(status: int, field: str, rule: str, **headers: str) -> Response:
    response = refusal(status, Fault(field=field, rule=rule))
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


def _no_keys() -> Response:
    return _said(403, "authorization", "this service has no keys and answers its own machine alone; sequela keys add")


def _who_are_you() -> Response:
    rule = "must be Bearer and a key of this service that has not expired"
    return _said(401, "authorization", rule, www_authenticate='Bearer realm="sequela"')


def _not_yours(scope: str) -> Response:
    challenge = f'Bearer realm="sequela", error="insufficient_scope", scope="{scope}"'
    return _said(403, "authorization", f"must be a key with the scope {scope}", www_authenticate=challenge)


def _too_often(what: str, wait: float) -> Response:
    return _said(429, "authorization", f"too many {what}; wait as Retry-After says", retry_after=str(math.ceil(wait)))
