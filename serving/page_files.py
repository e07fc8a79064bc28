"""The page for people at ``/``: its files, read once, and how they are answered. They say nothing of any patient."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FOLDER = Path(__file__).parent / "page"
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
FILES = {
    "/" if path.name == "index.html" else f"/page/{path.name}": path
    for path in sorted(FOLDER.iterdir())
    if path.suffix in MEDIA_TYPES
}
"""By the path at which each is answered."""


def page_routes() -> list[Route]:
    """A route for every file of the page."""
    return [Route(path, _answering(file), methods=["GET"]) for path, file in FILES.items()]


def _answering(file: Path) -> Callable[[Request], Awaitable[Response]]:
    """What answers a request for a file: the file, or 304 to a browser that has it."""
    content, media_type = file.read_bytes(), MEDIA_TYPES[file.suffix]
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'

    async def answered(request: Request) -> Response:
        known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
        if etag in known or known == ["*"]:  # RFC 9110, 13.1.2: a star matches what there is
            return Response(status_code=304, headers={"etag": etag})
        return Response(content, media_type=media_type, headers={"etag": etag})

    return answered
