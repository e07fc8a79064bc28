"""A client of the service in Python: many patients, sent some at a time, tried again where that is safe.

    from serving.client import Client

    client = Client("https://sequela.hospital.example", key=os.environ["SEQUELA_KEY"])
    for answered in client.predict([{"baseline": {"age": 63}}]):
        print(answered.prediction.incidence)

Cells of a sample are lists, as in JSON, or a `CellBag` under ``cells``, which goes packed. It needs numpy, safetensors,
pydantic and the messages of the service.
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

from features.cells.bag import CellBag
from features.errors import SequelaError
from features.records import PackedSample, PatientRecord
from serving.messages import ExplainAnswer, ModelCard, PredictAnswer, Prediction, Problem, ServedModel
from serving.monitor_messages import MonitorAnswer
from serving.packed import JSON, MAX_SAMPLES, PACKED, pack
from serving.state_messages import StatesAnswer

AGAIN = frozenset({429, 502, 503})
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
        rest = _and_horizons(horizons_days)
        first = 0
        for part in _parts(patients):
            yield from self._predict(part, rest, first)
            first += len(part)

    def explain(
        self,
        patients: Sequence[PatientRecord | Mapping[str, Any]],
        *,
        horizons_days: Sequence[float] | None = None,
    ) -> ExplainAnswer:
        """Why the risks of a few patients differ from that of the average patient, in one request.

        Raises:
            ServiceError: The service refuses, or does not answer.
        """
        rest = _and_horizons(horizons_days)
        body, media_type = _body([_sent(patient) for patient in patients], rest)
        return ExplainAnswer.model_validate_json(self._ask("/v1/explain", body, media_type))

    def monitor(
        self, patients: Sequence[PatientRecord | Mapping[str, Any]], *, horizon_days: float | None = None
    ) -> MonitorAnswer:
        """The course of a few patients so far: risks at their visits, what moved them, what to measure next.

        Raises:
            ServiceError: The service refuses, or does not answer.
        """
        rest = "" if horizon_days is None else f', "horizon_days": {json.dumps(horizon_days)}'
        return MonitorAnswer.model_validate_json(self._ask_lists("/v1/monitor", patients, rest))

    def states(
        self,
        patients: Sequence[PatientRecord | Mapping[str, Any]],
        *,
        horizon_days: float | None = None,
        worth: Mapping[str, float] | None = None,
    ) -> StatesAnswer:
        """Expected days of a few patients in each state, and what they are worth; see `basis` for what is known.

        Raises:
            ServiceError: The service refuses, or does not answer.
        """
        rest = "" if horizon_days is None else f', "horizon_days": {json.dumps(horizon_days)}'
        rest += "" if worth is None else f', "worth": {json.dumps(dict(worth))}'
        return StatesAnswer.model_validate_json(self._ask_lists("/v1/states", patients, rest))

    def _ask_lists(self, path: str, patients: Sequence[PatientRecord | Mapping[str, Any]], rest: str) -> bytes:
        """What is answered by what takes cells as lists alone."""
        body, media_type = _body([_sent(patient) for patient in patients], rest)
        if media_type == PACKED:
            msg = f"{self.url}: {path} takes cells as lists, and not packed; leave samples out, or give their lists"
            raise ServiceError(msg)
        return self._ask(path, body, media_type)

    def _predict(self, part: list[_Sent], rest: str, first: int) -> Iterator[Answered]:
        """Patients of one request, or of two where the service takes less at once."""
        body, media_type = _body(part, rest)
        try:
            answer = PredictAnswer.model_validate_json(self._ask("/v1/predict", body, media_type))
        except ServiceError as error:
            if error.status != TOO_LARGE or len(part) == 1:
                raise _counted_on(error, first) from None
            half = len(part) // 2
            yield from self._predict(part[:half], rest, first)
            yield from self._predict(part[half:], rest, first + half)
            return
        yield from (Answered(prediction, answer.model) for prediction in answer.predictions)

    def _ask(self, path: str, body: bytes | None, media_type: str = JSON) -> bytes:
        for attempt in range(1, self.attempts + 1):
            status, content, wait = self._once(path, body, media_type)
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

    def _once(self, path: str, body: bytes | None, media_type: str) -> tuple[int | None, bytes, float | None]:
        """Status (None: no answer), content, and how long the service asks to wait."""
        headers = {"Accept": JSON} | ({"Content-Type": media_type} if body else {})
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


@dataclass(frozen=True, slots=True)
class _Sent:
    """A patient on the way: JSON, and the samples that go packed."""

    text: str
    packed: list[tuple[dict[str, Any], CellBag]]

    @property
    def n_bytes(self) -> int:
        """About so many: six bytes a value, two of them its gene."""
        return len(self.text) + sum(6 * len(bag.values) + 8 * len(bag) for _, bag in self.packed)


def _sent(patient: PatientRecord | Mapping[str, Any]) -> _Sent:
    if isinstance(patient, PatientRecord):
        packed = [sample for sample in patient.samples if isinstance(sample, PackedSample)]
        plain = tuple(sample for sample in patient.samples if not isinstance(sample, PackedSample))
        text = patient.model_copy(update={"samples": plain}).model_dump_json(exclude_defaults=True)
        known = [sample.model_dump(mode="json", include={"material", "day", "clones"}) for sample in packed]
        return _Sent(text, [(header, sample.cells) for header, sample in zip(known, packed, strict=True)])
    samples = patient.get("samples", ())
    if not any("cells" in sample for sample in samples):
        return _Sent(json.dumps(patient, allow_nan=False), [])
    rest = {**patient, "samples": [sample for sample in samples if "cells" not in sample]}
    headers = [dict(sample) for sample in samples if "cells" in sample]
    return _Sent(json.dumps(rest, allow_nan=False), [(header, header.pop("cells")) for header in headers])


def _body(part: Sequence[_Sent], rest: str) -> tuple[bytes, str]:
    """A request and its media type."""
    request = f'{{"patients": [{", ".join(one.text for one in part)}]{rest}}}'
    packed = [({"patient": i, **header}, bag) for i, one in enumerate(part) for header, bag in one.packed]
    return (pack(request, packed), PACKED) if packed else (request.encode(), JSON)


def _and_horizons(horizons_days: Sequence[float] | None) -> str:
    """What follows the patients in a request."""
    return "" if horizons_days is None else f', "horizons_days": {json.dumps(list(horizons_days))}'


def _parts(patients: Iterable[PatientRecord | Mapping[str, Any]]) -> Iterator[list[_Sent]]:
    """Patients, as many together as one request takes."""
    part: list[_Sent] = []
    size = n_packed = 0
    for patient in patients:
        one = _sent(patient)
        full = len(part) == MOST_PATIENTS or size + one.n_bytes > MOST_BYTES or n_packed + len(one.packed) > MAX_SAMPLES
        if part and full:
            yield part
            part, size, n_packed = [], 0, 0
        part.append(one)
        size += one.n_bytes
        n_packed += len(one.packed)
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
