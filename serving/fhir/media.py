"""Media types of FHIR: what a request is in, and what its answer is wanted in. Only JSON of R4 is spoken."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import Response

from serving.guard import refusal
from serving.messages import Fault
from serving.packed import JSON

FHIR = "application/fhir+json"
_SPOKEN = (FHIR, JSON, "text/json")
_WILDCARDS = ("*/*", "application/*")
_R4 = ("4.0", "4.0.1")


def refused_form(request: Request) -> Response | None:
    """Why a request cannot be read or answered in the form that it says; None: it can."""
    said = request.headers.get("content-type")
    if said is not None and request.method == "POST":
        wrong = _wrong(said)
        if wrong:
            return refusal(415, Fault(field="content-type", rule=wrong))
    wanted = request.query_params.get("_format")
    if wanted is not None:  # goes before the header (R4, RESTful API)
        wanted = wanted.replace(" ", "+")  # a plus that was not escaped
        if wanted != "json" and _wrong(wanted):
            return refusal(406, Fault(field="_format", rule=f"must be json or {FHIR}"))
    elif not any(_is_taken(one) for one in _ranges(request.headers.get("accept", "*/*"))):
        return refusal(406, Fault(field="accept", rule=f"must allow {FHIR} of R4, in fhirVersion 4.0"))
    return None


def _parts(said: str) -> tuple[str, dict[str, str]]:
    """A media type and its parameters, in small letters."""
    media_type, *rest = (part.strip().lower() for part in said.split(";"))
    pairs = (part.partition("=") for part in rest)
    return media_type, {name.strip(): value.strip().strip('"') for name, _, value in pairs}


def _wrong(said: str) -> str:
    """What is wrong with a media type; empty: nothing."""
    media_type, parameters = _parts(said)
    if media_type not in _SPOKEN:
        return f"must be {FHIR}"
    if parameters.get("fhirversion", "4.0") not in _R4:
        return "must be of R4: fhirVersion 4.0"
    if parameters.get("charset", "utf-8") != "utf-8":
        return "must be UTF-8"
    return ""


def _ranges(accept: str) -> Iterator[str]:
    """Media types that an answer may have, but those that are ruled out; a blank header allows all."""
    for one in (accept.strip() or "*/*").split(","):
        quality = _parts(one)[1].get("q", "1")
        if quality.rstrip("0.") or not quality:
            yield one


def _is_taken(media_range: str) -> bool:
    media_type, parameters = _parts(media_range)
    version = parameters.get("fhirversion", "4.0")
    return (media_type in _WILDCARDS and version in _R4) or not _wrong(media_range)
