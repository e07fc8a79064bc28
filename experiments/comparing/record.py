"""The answer whether cells add anything, as a file and in the store, beside the run that it is about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
from mlflow import MlflowClient

from experiments.comparing.added_value import CELLS, AddedValue, Gain
from experiments.comparing.compared_runs import ComparedRuns
from experiments.log_items import File, LogItem, Metrics, Tags
from experiments.store import log_to

ANSWER_FILE = "added_value.json"


def log_answer(client: MlflowClient, compared: ComparedRuns, answer: AddedValue, folder: Path) -> Path:
    """Write the answer into a folder, and log it with the cells' run, where the UI shows it; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ANSWER_FILE
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(answer_record(answer), indent=1), "utf-8")
    beside.rename(path)
    log_to(client, compared.runs[CELLS].run.info.run_id, _items(answer, path))
    return path


def answer_record(answer: AddedValue) -> dict[str, object]:
    """The answer for other programs; what is not defined is None."""
    test = answer.test
    record: dict[str, object] = {"answer": answer.sentence, "verdict": answer.verdict}
    about = ("endpoint", "cause", "provenance", "n_patients", "n_events", "clinic_run", "cells_run")
    record |= {name: getattr(answer, name) for name in about}
    record |= {"overall": _plain(answer.overall), "gains": [_plain(gain) for gain in answer.gains]}
    permutation = None
    if test is not None:
        permutation = {"p": test.p, "p_low": test.p_low, "p_high": test.p_high}
        permutation |= {"observed_ipa": test.observed, "exchanged_ipa": test.permuted.tolist()}
    return record | {"permutation_of_cells": permutation}


def _plain(gain: Gain) -> dict[str, object]:
    fields = asdict(gain)
    flat = {name: value for name, value in fields.items() if name != "gain"} | fields["gain"]
    return {
        name: None if isinstance(value, float) and not np.isfinite(value) else value for name, value in flat.items()
    }


def _items(answer: AddedValue, path: Path) -> Iterator[LogItem]:
    gain = answer.overall.gain
    values = {"added_ipa": gain.point, "added_ipa_lo": gain.low, "added_ipa_hi": gain.high}
    if answer.test is not None:
        values["added_ipa_permutation_p"] = answer.test.p
    yield Metrics({f"{name}/{answer.cause}": value for name, value in values.items() if np.isfinite(value)})
    yield Tags({"sequela.added_value": answer.sentence, "sequela.added_value_over": answer.clinic_run})
    yield File(path)
