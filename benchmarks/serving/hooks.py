"""How long a card of CDS Hooks takes: calls of patient-view over HTTP, one after the other, by size of the record.

    python -m benchmarks.serving.hooks --calls 200

A Cox model is trained on simulated patients and promoted; calls bring records of a patient on day 20 with so many
laboratory values of variables that the model knows. Writes ``results/serving_hooks.md``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving.load import Connection, post
from experiments.home import CONFIGS, Home
from experiments.services import ServiceOptions, free_port, running, serve_command
from serving.champions import read_champion

RESULT = Path(__file__).parents[1] / "results" / "serving_hooks.md"
SEQUELA = Path(sys.executable).parent / "sequela"
ENDPOINT, SERVICE = "severe_infection", "/cds-services/sequela-patient-view"
SIZES = (30, 300, 3_000)
DAY = 20
"""After infusion, on which is asked."""
WARM_UP = 20
Json = dict[str, Any]


def sequela(home: Home, *words: str) -> None:
    """Run the console script in a store."""
    environment = os.environ | {"SEQUELA_HOME": str(home.folder)}
    subprocess.run([str(SEQUELA), *words], check=True, env=environment, capture_output=True)


def champion(home: Home) -> str:
    """Tag of a model that was trained and promoted here."""
    cohort = str(home.folder / "cohort")
    sequela(home, "simulate", cohort, "--patients", "200", "--cells-per-sample", "0")
    settings = (f"cohort={cohort}", "name=cox", "model={kind: cox, penalty: 30}", "validation={folds: 3}")
    words = [word for setting in settings for word in ("--set", setting)]
    sequela(home, "train", str(CONFIGS / "run" / "cox.yaml"), *words)
    sequela(home, "promote", "cox", "--override", "a benchmark")
    return read_champion(home.exported_champion(ENDPOINT)).tag


def call(variables: list[Json], size: int) -> bytes:
    """A call whose record has so many laboratory values, spread over the days until it is asked."""
    infused = datetime.now(UTC).date() - timedelta(days=DAY)
    measured = [one for one in variables if one["loinc"] and "measurements" in one["given_as"]]
    values = [_observation(measured[i % len(measured)], i, infused) for i in range(size)]
    procedure = {
        "resourceType": "Procedure",
        "id": "infusion",
        "status": "completed",
        "performedDateTime": infused.isoformat(),
        "code": {"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "38228"}]},
    }
    content = {
        "hook": "patient-view",
        "hookInstance": str(uuid.uuid4()),
        "context": {"userId": "Practitioner/1", "patientId": "p1"},
        "prefetch": {
            "patient": {"resourceType": "Patient", "id": "p1", "birthDate": "1961-01-15"},
            "procedures": _bundle([procedure]),
            "observations": _bundle(values),
            "conditions": None,
        },
    }
    return json.dumps(content).encode()


def _bundle(resources: list[Json]) -> Json:
    return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in resources]}


def _observation(variable: Json, number: int, infused: date) -> Json:
    low, high = variable["range"] or (1.0, 100.0)
    value = float(low + (high - low) * (0.02 + 0.01 * (number % 7)))
    return {
        "resourceType": "Observation",
        "id": f"o{number}",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": variable["loinc"]}]},
        "effectiveDateTime": (infused + timedelta(days=number % DAY)).isoformat(),
        "valueQuantity": {"value": value, "system": "http://unitsofmeasure.org", "code": variable["unit"]},
    }


async def timed(port: int, request: bytes, calls: int) -> list[float]:
    """Milliseconds of each call, after some that warm up; every one must bring a card."""
    connection, found = Connection(port), []
    for number in range(WARM_UP + calls):
        began = time.perf_counter()
        status, body = await connection.ask(request)
        took = 1e3 * (time.perf_counter() - began)
        if status != 200 or len(json.loads(body)["cards"]) != 1:
            msg = f"{status}: {body[:200]!r}"
            raise RuntimeError(msg)
        if number >= WARM_UP:
            found.append(took)
    await connection.close()
    return found


def page(found: dict[int, tuple[int, list[float]]], calls: int) -> str:
    """The result in Markdown."""
    rows = []
    for size, (n_bytes, took) in found.items():
        p50, p99, worst = np.percentile(took, [50, 99, 100])
        rows.append(f"| {size:,} | {n_bytes / 1024:,.0f} | {p50:.0f} | {p99:.0f} | {worst:.0f} |")
    return "\n".join(
        [
            "# How long a card of CDS Hooks takes",
            "",
            f"Made by `python -m benchmarks.serving.hooks --calls {calls}` on {platform.machine()}, {os.cpu_count()}",
            "cores, client and server on the same, over HTTP on loopback, one call after the other.",
            "",
            f"{calls} calls of patient-view for each size of the record, after {WARM_UP} that warm up. CDS Hooks asks",
            "for 500 ms.",
            "",
            "| Observations | KiB | p50, ms | p99, ms | slowest, ms |",
            "|---:|---:|---:|---:|---:|",
            *rows,
            "",
        ]
    )


def main() -> None:
    """Train, serve, call, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200)
    calls = parser.parse_args().calls
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        home.folder.mkdir()
        tag, port = champion(home), free_port()
        command, environment = serve_command(
            home, tag, "127.0.0.1", port, ServiceOptions(feedback=home.folder / "told")
        )
        url = f"http://127.0.0.1:{port}"
        with running(command, environment, f"{url}/readyz", home.folder / "serve.log"):
            with urllib.request.urlopen(f"{url}/v1/model") as answered:  # noqa: S310  our own
                variables = json.load(answered)["variables"]
            found = {}
            for size in SIZES:
                body = call(variables, size)
                found[size] = len(body), asyncio.run(timed(port, post(SERVICE, body), calls))
    RESULT.write_text(page(found, calls), "utf-8")
    print(RESULT.read_text("utf-8"))


if __name__ == "__main__":
    main()
