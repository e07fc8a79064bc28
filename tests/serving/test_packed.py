"""Cells in a binary body: the same answers as in JSON, and refusals that name the part at fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from features.cells.bag import UNLABELLED, CellBag
from features.errors import InputError
from serving.answer import answer
from serving.messages import PredictRequest
from serving.packed import MAX_CELLS, MAX_SAMPLES, pack, parse_packed
from serving.refusals import TooLargeError
from training.artifact.folder import Artifact

Json = dict[str, Any]


def bag_of(sample: Json) -> CellBag:
    labels = sample.get("cell_types") or [UNLABELLED] * (len(sample["indptr"]) - 1)
    arrays = (np.array(sample[name]) for name in ("indptr", "indices", "values"))
    return CellBag(tuple(sample["genes"]), *arrays, np.array(labels, dtype=object))


def packed(records: list[Json]) -> bytes:
    """A request with the cells of all samples in tensors, and samples of clones alone in JSON."""
    samples = []
    rest = [{**record, "samples": [s for s in record["samples"] if "genes" not in s]} for record in records]
    for i, record in enumerate(records):
        for sample in (s for s in record["samples"] if "genes" in s):
            header = {"patient": i, "material": sample["material"], "day": sample["day"]}
            samples.append((header | {"clones": sample.get("clones", [])}, bag_of(sample)))
    return pack(json.dumps({"patients": rest}), samples)


def test_packed_and_plain_requests_get_the_same_answer(cohort: Any, artifact: Artifact) -> None:
    plain = answer(artifact, "v", PredictRequest.model_validate({"patients": cohort.records}))
    assert any(record["samples"] for record in cohort.records)
    given = answer(artifact, "v", parse_packed(packed(cohort.records)))
    one, other = (found.model_dump(exclude={"predictions": {"__all__": {"ignored"}}}) for found in (plain, given))
    assert one == other


@given(
    st.lists(st.lists(st.integers(0, 70_000), min_size=3, max_size=3), min_size=1, max_size=6),
    st.lists(st.sampled_from(["CD4 T", "B", UNLABELLED]), min_size=6, max_size=6),
)
def test_what_is_packed_comes_out_again(counts: list[list[int]], labels: list[str]) -> None:
    dense = np.array(counts)
    cell, gene = np.nonzero(dense)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=len(dense)))])
    types = np.array(labels[: len(dense)], dtype=object)
    bag = CellBag(("a", "b", "c"), indptr, gene, dense[cell, gene].astype(float), types)
    header = {"patient": 0, "material": "blood", "day": 3.5, "clones": []}
    request = parse_packed(pack('{"patients": [{"patient_id": "x"}]}', [(header, bag)]))
    (sample,) = request.patients[0].samples
    found = sample.matrix("here")
    assert (sample.material, sample.day, sample.genes) == ("blood", 3.5, ("a", "b", "c"))
    for name in ("indptr", "indices", "values", "cell_type"):
        assert getattr(found, name).tolist() == getattr(bag, name).tolist(), name
    assert found.indptr.dtype == found.indices.dtype == np.int64


HEADER = {"patient": 0, "material": "blood", "day": 0.0, "genes": ["a", "b"], "cell_types": ["T"]}
ARRAYS = {
    "0.indptr": np.array([0, 1, 2], "u1"),
    "0.indices": np.array([0, 1], "u2"),
    "0.values": np.array([3.0, 4.0], "f4"),
    "0.cell_types": np.array([0, 0], "i1"),
}


def body(
    arrays: dict[str, Any] | None = None, header: Json | None = None, request: str = '{"patients": [{}]}'
) -> bytes:
    tensors = {name: array for name, array in (ARRAYS | (arrays or {})).items() if array is not None}
    return save(tensors, {"request": request, "samples": json.dumps([HEADER | (header or {})])})


def test_the_body_that_the_faults_are_put_into_is_sound() -> None:
    (sample,) = parse_packed(body()).patients[0].samples
    assert sample.matrix("here").values.tolist() == [3.0, 4.0]


FAULTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "body: must be a safetensors file"),
    "text": (lambda: b"PK\x03\x04" * 20, "body: must be a safetensors file"),
    "a header beyond the body": (lambda: (2**40).to_bytes(8, "little") + b"{}", "body: must be a safetensors file"),
    "no request": (lambda: save({"a": np.zeros(1)}), "body: must be a safetensors file with the request"),
    "no metadata": (
        lambda: (22).to_bytes(8, "little") + b'{"__metadata__": null} ',
        "body: must be a safetensors file",
    ),
    "a long label": (
        lambda: body(header={"cell_types": ["x" * 201]}),
        r"samples\[0\]\.cell_types\[0\]: must have at most 200",
    ),
    "no JSON": (lambda: body(request="{"), "body: must be JSON"),
    "no patients": (lambda: body(request="{}"), "patients: is required"),
    "samples are no list": (lambda: save({}, {"request": '{"patients": [{}]}', "samples": "{}"}), "samples: must be"),
    "unknown field": (lambda: body(header={"gens": []}), r"samples\[0\]\.gens: is not a field .* mean genes\?"),
    "no such patient": (lambda: body(header={"patient": 1}), r"samples\[0\]\.patient: must be a position among the 1 "),
    "a missing tensor": (lambda: body({"0.indices": None}), r"patients\[0\]\.samples\[0\]\.indices: is required"),
    "a tensor too many": (lambda: body({"1.values": np.zeros(1)}), "tensors: holds one that no sample has"),
    "a matrix": (lambda: body({"0.values": np.zeros((1, 2))}), "tensors: must be vectors"),
    "broken positions": (
        lambda: body({"0.indices": np.zeros(2, "f4")}),
        r"patients\[0\]\.samples\[0\]\.indices: must be whole numbers",
    ),
    "another type": (lambda: body({"0.values": np.zeros(2, "?")}), "tensors: must be vectors of U8"),
    "no number": (
        lambda: body({"0.values": np.array([1, np.nan])}),
        r"patients\[0\]\.samples\[0\]\.values: must be finite",
    ),
    "no cell": (
        lambda: body({"0.indptr": np.zeros(1, "u1")}),
        r"patients\[0\]\.samples\[0\]\.indptr: holds one number more",
    ),
    "too few labels": (
        lambda: body({"0.cell_types": np.zeros(1, "u1")}),
        r"patients\[0\]\.samples\[0\]\.cell_types: must be one for each",
    ),
    "no such label": (
        lambda: body({"0.cell_types": np.ones(2, "u1")}),
        r"patients\[0\]\.samples\[0\]\.cell_types: must be positions in the sample",
    ),
    "a clone twice": (
        lambda: body(header={"clones": [{"locus": "tcr", "clone": "c", "abundance": 1.0}] * 2}),
        r"patients\[0\]\.samples\[0\]\.clones: ",
    ),
}


@pytest.mark.parametrize(("made", "said"), FAULTS.values(), ids=FAULTS)
def test_faults_name_their_place(made: Callable[[], bytes], said: str) -> None:
    with pytest.raises(InputError, match=rf"^{said}"):
        parse_packed(made())


def test_more_cells_than_are_held_at_once_are_refused_before_they_are_unpacked() -> None:
    with pytest.raises(TooLargeError, match="at most 1,000,000 cells"):
        parse_packed(body({"0.indptr": np.zeros(MAX_CELLS + 2, "u1")}))


@pytest.mark.parametrize("end", [b"", b"\\", b'\\"'])
def test_a_text_that_is_cut_off_is_looked_through_once(end: bytes) -> None:
    """A header of 4 MB that ends within a text of many quotes: from each of them on, looking would take hours."""
    head = b'{"__metadata__":{"request":"' + b'\\"patients\\": [1,2],' * 200_000 + end
    with pytest.raises(InputError, match="must be a safetensors file with the request in its metadata"):
        parse_packed(len(head).to_bytes(8, "little") + head)


def test_more_samples_than_are_taken_at_once_are_refused_as_too_many() -> None:
    headers = json.dumps([HEADER] * (MAX_SAMPLES + 1))
    with pytest.raises(TooLargeError, match=r"^samples: may hold at most 1,000"):
        parse_packed(save({}, {"request": '{"patients": [{}]}', "samples": headers}))


def test_a_patient_whose_samples_would_not_fit_in_memory_is_refused(artifact: Artifact) -> None:
    genes = [f"N{i}" for i in range(2_000)]
    sample = {"material": "blood", "day": 0, "genes": genes, "indptr": [0, 1], "indices": [0], "values": [1.0]}
    many = [sample | {"cell_types": [f"t{i}"]} for i in range(100)]
    with pytest.raises(TooLargeError, match=r"^patients\[0\]\.samples: may make at most 16,000,000 sums"):
        answer(artifact, "v", PredictRequest.model_validate({"patients": [{"samples": many}]}))


@pytest.mark.parametrize("values", [[np.inf, 1.0], [2.0**70, 1.0], [-1.0, 1.0], [0.5, 1.0]])
def test_what_no_small_type_holds_is_packed_as_it_is(values: list[float]) -> None:
    bag = CellBag(("a", "b"), np.array([0, 2]), np.array([0, 1]), np.array(values), np.array(["T"], dtype=object))
    body = pack('{"patients": [{}]}', [({"patient": 0, "material": "blood", "day": 0.0, "clones": []}, bag)])
    assert load(body)["0.values"].tolist() == values


@given(st.binary(max_size=200), st.integers(0, 10_000), st.integers(0, 255))
def test_no_damage_gives_anything_but_a_refusal_or_a_request(junk: bytes, place: int, byte: int) -> None:
    sound = bytearray(body())
    sound[place % len(sound)] = byte
    for damaged in (junk, bytes(sound), bytes(sound[: place % len(sound)])):
        try:
            request = parse_packed(damaged)
        except InputError:
            continue
        assert isinstance(request, PredictRequest)


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/explain"])
def test_the_service_takes_packed_bodies(server: Any, cohort: Any, path: str) -> None:
    records = cohort.records[:20]
    with server.client() as client:
        plain = client.post(path, json={"patients": records})
        same = client.post(path, content=packed(records), headers={"content-type": "application/x-safetensors"})
        shouted = client.post(path, content=body(), headers={"content-type": "Application/X-SafeTensors; v=1"})
        refused = client.post(path, content=body(), headers={"content-type": "application/x-safetensors"})
        elsewhere = client.post(
            "/v1/scores", content=packed(records), headers={"content-type": "application/x-safetensors"}
        )
    assert plain.status_code == same.status_code == 200
    if path == "/v1/explain":
        assert same.json() == plain.json()
    assert (refused.status_code, refused.json()["field"]) == (400, "patients[0].samples[0].genes")
    assert shouted.json() == refused.json()
    assert elsewhere.status_code == 415
