"""A client of the service in Python: many patients, sent some at a time, tried again where that is safe.

    from serving.client import Client

    client = Client("https://sequela.hospital.example", key=os.environ["SEQUELA_KEY"])
    for answered in client.predict([{"baseline": {"age": 63}}]):
        print(answered.prediction.incidence)

It needs the standard library, pydantic and the messages of the service.
"""

from __future__ import annotations

import json
import random
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from features.errors import SequelaError
from features.request import PatientRecord
from serving.messages import ModelCard, PredictAnswer, Prediction, Problem, ServedModel

AGAIN = frozenset({429, 502, 503, 504})
"""Answers after which the same request is sent again: it is not at fault, and predicting changes nothing."""
TOO_LARGE = 413
LONGEST_PAUSE_SECONDS = 30.0
MOST_PATIENTS, MOST_BYTES = 500, 8 * 2**20
"""Of one request; a single patient may be larger."""
PLACE = re.compile(r"^patients\[(\d+)\]")


class ServiceError(SequelaError):
    """The service refused a request, or could not be asked."""

    def __init__(self, message: str, *, status: int | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.status, self.field = status, field


@dataclass(frozen=True, slots=True)
class Answered:
    """A prediction, and the model that made it: it may change between the parts of a long list."""

    prediction: Prediction
    model: ServedModel


class Client:
    """Asks one service.

    Args:
        url: Its address, without a path.
        key: As `sequela keys add` printed it; None where the service is on this machine and has no keys.
        timeout_seconds: Of one attempt.
        attempts: At most so many of each request.
    """

    def __init__(self, url: str, key: str | None = None, *, timeout_seconds: float = 60.0, attempts: int = 5) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            msg = f"{url}: is no address of a service; it begins with http:// or https://"
            raise ServiceError(msg)
        self.url, self._key = url.rstrip("/"), key
        self.timeout_seconds, self.attempts = timeout_seconds, attempts

    def card(self) -> ModelCard:
        """The card of the model that serves.

        Raises:
            ServiceError: The service refuses, or does not answer.
        """
        return ModelCard.model_validate_json(self._ask("/v1/model", None))

    def predict(
        self,
        patients: Iterable[PatientRecord | Mapping[str, Any]],
        *,
        horizons_days: Sequence[float] | None = None,
    ) -> Iterator[Answered]:
        """Predict patients as they come, in their order, some in each request.

        Args:
            patients: Records, or plain JSON of them.
            horizons_days: Days after the landmark; None: the endpoint's.

        Raises:
            ServiceError: A patient is refused, by its number in the whole list; or the service does not answer.
        """
        rest = "" if horizons_days is None else f', "horizons_days": {json.dumps(list(horizons_days))}'
        first = 0
        for part in _parts(patients):
            yield from self._predict(part, rest, first)
            first += len(part)

    def _predict(self, part: list[str], rest: str, first: int) -> Iterator[Answered]:
        """Patients of one request, or of two where the service takes less at once."""
        body = f'{{"patients": [{", ".join(part)}]{rest}}}'.encode()
        try:
            answer = PredictAnswer.model_validate_json(self._ask("/v1/predict", body))
        except ServiceError as error:
            if error.status != TOO_LARGE or len(part) == 1:
                raise _counted_on(error, first) from None
            half = len(part) // 2
            yield from self._predict(part[:half], rest, first)
            yield from self._predict(part[half:], rest, first + half)
            return
        yield from (Answered(prediction, answer.model) for prediction in answer.predictions)

    def _ask(self, path: str, body: bytes | None) -> bytes:
        for attempt in range(1, self.attempts + 1):
            status, content, wait = self._once(path, body)
            if status == 200:
                return content
            if status is not None and status not in AGAIN:
                raise _refused(self.url, status, content)
            if attempt < self.attempts:
                time.sleep(wait if wait is not None else _pause(attempt))
        if status is None:
            msg = f"{self.url}: does not answer ({content.decode(errors='replace')}) in {self.attempts} attempts; "
            raise ServiceError(msg + "is the address right, and the service up?")
        raise _refused(self.url, status, content)

    def _once(self, path: str, body: bytes | None) -> tuple[int | None, bytes, float | None]:
        """Status (None: no answer), content, and how long the service asks to wait."""
        headers = {"Accept": "application/json"} | ({"Content-Type": "application/json"} if body else {})
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(f"{self.url}{path}", body, headers)  # noqa: S310  http or https, as checked
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_seconds) as answer:  # noqa: S310
                return answer.status, answer.read(), None
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(), _asked_to_wait(error.headers.get("Retry-After"))
        except (OSError, HTTPException) as error:  # no connection, or one that broke
            return None, str(getattr(error, "reason", error) or type(error).__name__).encode(), None


def _parts(patients: Iterable[PatientRecord | Mapping[str, Any]]) -> Iterator[list[str]]:
    """Patients as JSON, as many together as one request takes."""
    part: list[str] = []
    size = 0
    for patient in patients:
        if isinstance(patient, PatientRecord):
            text = patient.model_dump_json(exclude_defaults=True)
        else:
            text = json.dumps(patient, allow_nan=False)
        if part and (len(part) == MOST_PATIENTS or size + len(text) > MOST_BYTES):
            yield part
            part, size = [], 0
        part.append(text)
        size += len(text)
    if part:
        yield part


def _refused(url: str, status: int, content: bytes) -> ServiceError:
    try:
        said = Problem.model_validate_json(content)
    except ValidationError:  # a proxy's page
        return ServiceError(f"{url}: answers {status}", status=status)
    return ServiceError(f"{url} answers {status}: {said.detail}", status=status, field=said.field)


def _counted_on(error: ServiceError, first: int) -> ServiceError:
    """The same fault, its patient counted from the beginning of the whole list."""
    place = PLACE.match(error.field or "")
    if not place:
        return error
    own, whole = place[0], f"patients[{first + int(place[1])}]"
    field = whole + (error.field or "")[place.end() :]
    return ServiceError(str(error).replace(own, whole, 1), status=error.status, field=field)


def _pause(attempt: int) -> float:
    """Seconds that grow, drawn so that many clients do not come back together (full jitter)."""
    return random.uniform(0, min(LONGEST_PAUSE_SECONDS, 0.5 * 2**attempt))  # noqa: S311  no secret


def _asked_to_wait(header: str | None) -> float | None:
    return min(float(header), LONGEST_PAUSE_SECONDS) if header is not None and header.isdecimal() else None
