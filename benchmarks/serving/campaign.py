"""Spoilt requests by the hundred thousand: is any answered 5xx or not at all, and does any value of them reach a log?

    python -m benchmarks.serving.campaign --cases 100000

Sound requests (JSON and packed, with measurements, events, cells and clones) are damaged at random: parts exchanged,
removed, repeated, nested; numbers made huge, tiny or no numbers; bytes flipped, cut or put in. Every request carries
texts and numbers that occur nowhere else, and the server's log is searched for them at the end. The model is small and
takes everything that a model can; what became of patients is reported, too. Writes ``results/serving_campaign.md``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving.load import Connection, post
from experiments.home import Home
from experiments.services import ServiceOptions, free_port, running, serve_command
from features.cells.bag import CellBag
from serving.openapi import SCORE_EXAMPLE
from serving.packed import JSON, PACKED, pack
from serving.store import publish
from training.artifact.folder import answer_example, read_artifact, write_artifact

ARTIFACT = Path(__file__).parents[2] / "tests" / "golden" / "artifacts" / "v1"
RESULT = Path(__file__).parents[1] / "results" / "serving_campaign.md"
CONNECTIONS = 4
HANGS_SECONDS = 10.0
MOST_BYTES = 10_000_000
"""That repeating adds to a request: while one is made, all connections wait, and idle ones are closed."""
TEXT, NUMBER = "Xq7-PATIENT", 7719.03125
"""Put into every request, and searched for."""
Json = Any
JUNK: tuple[Json, ...] = (
    None, True, False, 0, -1, 2**31, 2**63, -(2**70), 1e308, 5e-324, "", TEXT, "\u0000", "\ud7ff", "9" * 5000, [], {},
    [[]], {"value": NUMBER}, {"value": NUMBER, "unit": TEXT}, [NUMBER] * 20, {"": {"": TEXT}},
)  # fmt: skip


def places(value: Json, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place within a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in inner for place in places(part, (*path, key)))]


def spoil(value: Json, rng: random.Random) -> Json:
    """A value damaged in one place."""
    place = rng.choice(places(value)[1:] or [()])
    if not place:
        return rng.choice(JUNK)
    whole = json.loads(json.dumps(value))
    parent = whole
    for key in place[:-1]:
        parent = parent[key]
    key, old = place[-1], parent[place[-1]]
    what = rng.randrange(6)
    if what == 0:
        del parent[key]
    elif what == 1:
        parent[key] = [old]
    elif what == 2 and isinstance(parent, dict):
        parent[rng.choice(("x", f"{key}s", TEXT, "__proto__"))] = old
    elif what == 3 and isinstance(parent, list):
        most = max(1, MOST_BYTES // (len(json.dumps(old)) + 1))
        parent.extend([old] * min(rng.choice((1, 3, 200)), most))
    elif what == 4 and isinstance(old, int | float) and not isinstance(old, bool):
        parent[key] = old * rng.choice((-1, 0, 1e6, 1e-9, 1e300))
    else:
        parent[key] = rng.choice(JUNK)
    return whole


def damage(body: bytes, rng: random.Random) -> bytes:
    """Bytes flipped, cut, repeated or put in."""
    place, what = rng.randrange(len(body) + 1), rng.randrange(4)
    if what == 0:
        return body[:place]
    if what == 1:
        return body[:place] + rng.randbytes(rng.randrange(1, 9)) + body[place:]
    if what == 2:
        return body[:place] + body[max(0, place - 20) :]
    flipped = bytearray(body)
    for _ in range(rng.randrange(1, 4)):
        flipped[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def servable(folder: Path) -> Path:
    """The model, with an example that a service answers: without the day of the landmark itself."""
    artifact = read_artifact(ARTIFACT)
    example, times = artifact.manifest.example, artifact.manifest.endpoint.horizons_days
    answer = answer_example(artifact.model, example.patient, times)
    changed = {"example": example.model_copy(update={"times_days": times, "incidence": answer})}
    write_artifact(folder / "artifact", artifact.manifest.model_copy(update=changed), artifact.arrays)
    return folder / "artifact"


def sound() -> Json:
    """A request with everything the model takes, and values that occur nowhere else."""
    patient = read_artifact(ARTIFACT).manifest.example.patient.model_dump(mode="json")
    measured = [{"variable": "ferritin", "day": -1.0, "value": NUMBER, "unit": "ng/mL"}]
    patient |= {"patient_id": TEXT, "measurements": [*patient["measurements"], *measured]}
    return {"patients": [patient, {"patient_id": f"{TEXT}-2"}], "horizons_days": [30.0, 365.0]}


def told() -> Json:
    """What became of the patients of `sound`."""
    events = [{"event": TEXT, "day": NUMBER / 100}, {"event": "infection", "day": 30.0, "grade": 3}]
    first = {"patient_id": TEXT, "follow_up_days": NUMBER, "events": events}
    return {"patients": [first, {"patient_id": f"{TEXT}-2", "follow_up_days": 9.0}]}


def scored() -> Json:
    """Inputs of scores."""
    patients = [{**patient, "patient_id": TEXT} for patient in SCORE_EXAMPLE["patients"]]
    patients[0]["inputs"] = {**patients[0].get("inputs", {}), "ferritin": NUMBER}
    return {**SCORE_EXAMPLE, "patients": patients}


def packed(request: Json, rng: random.Random) -> bytes:
    """A request whose cells are in tensors, perhaps damaged within."""
    patients = request.get("patients") if isinstance(request, dict) else None
    sample = sound()["patients"][0]["samples"][0]
    arrays = [np.array(sample[name]) for name in ("indptr", "indices", "values")]
    if rng.random() < 0.3:
        spoilt = rng.choice(arrays)
        spoilt[rng.randrange(len(spoilt))] = rng.choice((-1, 10**6, 2**40))
    bag = CellBag(tuple(sample["genes"]), *arrays, np.array(sample["cell_types"], dtype=object))
    header = {"patient": rng.choice((0, 0, 0, 5, -1)), "material": sample["material"], "day": sample["day"]}
    if isinstance(patients, list) and patients and isinstance(patients[0], dict):
        patients[0].pop("samples", None)
    return pack(json.dumps(request), [(header, bag)])


def cases(n: int, seed: int) -> Iterator[tuple[str, bytes, str]]:
    """Path, body and media type of each."""
    rng, bodies = random.Random(seed), {"/v1/outcomes": told(), "/v1/scores": scored()}  # noqa: S311  no secret
    whole = sound()
    for _ in range(n):
        path = rng.choices(("/v1/predict", "/v1/explain", "/v1/scores", "/v1/outcomes"), (80, 2, 9, 9))[0]
        request = bodies.get(path, whole)
        for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
            request = spoil(request, rng)
        in_tensors = rng.random() < 0.3 and path not in bodies
        body = packed(json.loads(json.dumps(request)), rng) if in_tensors else json.dumps(request).encode()
        for _ in range(rng.choice((0, 0, 1, 2))):
            body = damage(body, rng) if body else body
        yield path, body, PACKED if in_tensors != (rng.random() < 0.02) else JSON


def rule_of(refusal: Json) -> str:
    """What a refusal says: problem details, or an OperationOutcome."""
    issues = refusal.get("issue")
    return str(issues[0]["diagnostics"] if issues else refusal.get("rule", ""))


@dataclass
class Found:
    """What came of the cases."""

    statuses: Counter[int] = field(default_factory=Counter)
    slowest: float = 0.0
    wrong: list[str] = field(default_factory=list)
    """5xx, no answer, or one that took too long."""
    said_back: int = 0
    """Refusals that repeat a value."""

    def add(self, body: bytes, status: int, answer: bytes, seconds: float) -> None:
        """One case."""
        self.statuses[status] += 1
        self.slowest = max(self.slowest, seconds)
        if status >= 500 or status == 0 or seconds > HANGS_SECONDS:
            self.wrong.append(f"{status} after {seconds:.1f} s: {body[:300]!r}")
        rule = rule_of(json.loads(answer)) if status >= 400 else ""
        self.said_back += TEXT in rule or str(NUMBER) in rule


async def ask_all(port: int, all_cases: Iterator[tuple[str, bytes, str]], found: Found) -> None:
    """Every case, over a few connections."""

    async def one() -> None:
        connection = Connection(port)
        for path, body, media_type in all_cases:
            began = time.perf_counter()
            request = post(path, body, {"Content-Type": media_type})
            status, answer = await asyncio.wait_for(connection.ask(request), 60)
            found.add(body, status, answer, time.perf_counter() - began)
            if sum(found.statuses.values()) % 10_000 == 0:
                print(dict(found.statuses), flush=True)
        await connection.close()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))


def page(
    found: Found, leaks: list[str], log_bytes: int, words: argparse.Namespace, seconds: float, name: str, title: str
) -> str:
    """The result in Markdown, of a module of this package."""
    lines = [
        f"# {title}",
        "",
        f"Made by `python -m benchmarks.serving.{name} --cases {words.cases} --seed {words.seed}` on",
        f"{platform.machine()}, {os.cpu_count()} cores, in {seconds:.0f} s.",
        "",
        "| | |",
        "|---|---|",
        f"| cases | {sum(found.statuses.values()):,} |",
        *(f"| answered {status} | {n:,} |" for status, n in sorted(found.statuses.items())),
        f"| 5xx, unanswered, or over {HANGS_SECONDS:g} s | {len(found.wrong)} |",
        f"| slowest answer | {found.slowest:.2f} s |",
        f"| refusals whose rule repeats a value | {found.said_back} |",
        f"| lines of the log ({log_bytes:,} bytes) with a value of a request | {len(leaks)} |",
    ]
    return "\n".join([*lines, *(f"- {wrong}" for wrong in found.wrong[:20]), ""])


def options() -> argparse.ArgumentParser:
    """How many cases, and which."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    return parser


def campaign(all_cases: Iterator[tuple[str, bytes, str]], words: argparse.Namespace, name: str, title: str) -> str:
    """Serve the model, ask it all cases, search its log; the result in Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        os.environ["BENTOML_HOME"] = str(home.bentoml)
        tag, port, log = publish(servable(Path(folder)), {}), free_port(), Path(folder) / "serve.log"
        service = ServiceOptions(
            ledger=Path(folder) / "ledger", audit=Path(folder) / "audit.jsonl", feedback=Path(folder) / "feedback"
        )
        command, environment = serve_command(home, tag, "127.0.0.1", port, service)
        found, began = Found(), time.perf_counter()
        with running(command, environment, f"http://127.0.0.1:{port}/readyz", log):
            asyncio.run(ask_all(port, all_cases, found))
        said = log.read_text("utf-8", errors="replace")
    leaks = [line for line in said.splitlines() if TEXT in line or str(NUMBER) in line]
    return page(found, leaks, len(said), words, time.perf_counter() - began, name, title)


def main() -> None:
    """Spoil, ask, write."""
    words = options().parse_args()
    text = campaign(cases(words.cases, words.seed), words, "campaign", "Spoilt requests")
    RESULT.write_text(text, "utf-8")
    print(text)


if __name__ == "__main__":
    main()
