"""Requests with many cells, in a compact binary body: one safetensors file, with the request in its metadata.

    __metadata__    request    JSON of a `PredictRequest`, without the samples below
                    samples    JSON list of `PackedHeader`, one a sample
    0.indptr, 0.indices, 0.values, and 0.cell_types where cells carry labels: the arrays of the first sample

The arrays are those of `features.records.SampleRecord`, of any whole-number type, values also of a floating one; the
type of a cell is a position in the header's `cell_types`. Samples follow those that the patient has in the request.
Nothing in such a body can run: safetensors holds numbers alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from features.cells.bag import UNLABELLED, CellBag
from features.errors import InputError
from features.patients import TextArray
from features.records import MAX_LABEL, CloneRecord, PackedSample, texts
from features.schema import Frozen
from serving.messages import PredictRequest
from serving.refusals import TooLargeError, parse, refused

JSON, PACKED = "application/json", "application/x-safetensors"
"""Media types of a plain body, and of such a one."""
Tensor = tuple[str, NDArray[Any]]
"""Name of the type, and numbers."""
MAX_SAMPLES, MAX_CELLS = 1_000, 1_000_000
"""Of one request."""
MAX_PARTS = 5 * 4 * MAX_SAMPLES
"""Commas in the header outside texts: a tensor has four, a sample at most four tensors, and there is room for more."""
EXACT = 2**53
"""Up to here every whole number is a number of double precision."""
INTEGERS = {"U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8", "I64": "<i8"}
NUMBERS = INTEGERS | {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
"""Types of tensors that are taken, as numpy names them."""
ARRAYS = ("indptr", "indices", "values")
LABELS = "cell_types"


class PackedHeader(Frozen):
    """A sample whose cells are in tensors."""

    patient: Annotated[int, Field(ge=0)]
    """Position in the request's patients."""
    material: str
    day: float
    genes: Annotated[tuple[str, ...], Field(min_length=1)]
    cell_types: tuple[Annotated[str, Field(max_length=MAX_LABEL)], ...] | None = None
    """Names of the labels; null where cells carry none."""
    clones: tuple[CloneRecord, ...] = ()


HEADERS = TypeAdapter(Annotated[tuple[PackedHeader, ...], Field(max_length=MAX_SAMPLES)])
_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
"""A JSON text, also one that the end cuts off: looked for again from each of its quotes, that takes quadratic time."""
_KNOWN = (*PackedHeader.model_fields, *CloneRecord.model_fields)


def parse_packed(body: bytes) -> PredictRequest:
    """Read a packed request.

    Raises:
        InputError: Naming the part, the field or the tensor at fault, never its value.
    """
    tensors, metadata = _tensors(body)
    request = parse(metadata.get("request", "").encode())
    headers = _headers(metadata.get("samples", "[]"))
    n_bounds = sum(len(numbers) for name, (_, numbers) in tensors.items() if name.endswith(".indptr"))
    if n_bounds > MAX_CELLS + len(headers):  # each sample has one more than cells
        raise TooLargeError("samples", f"may hold at most {MAX_CELLS:,} cells in one request")
    of_patient: dict[int, list[PackedSample]] = {}
    for i, header in enumerate(headers):
        if header.patient >= len(request.patients):
            raise InputError(f"samples[{i}].patient", f"must be a position among the {len(request.patients)} patients")
        own = of_patient.setdefault(header.patient, [])
        number = len(request.patients[header.patient].samples) + len(own)
        own.append(_sample(tensors, i, header, f"patients[{header.patient}].samples[{number}]"))
    if tensors:
        raise InputError("tensors", "holds one that no sample has; sample 0 has 0.indptr, 0.indices, 0.values")
    patients = tuple(
        record.model_copy(update={"samples": (*record.samples, *of_patient[i])}) if i in of_patient else record
        for i, record in enumerate(request.patients)
    )
    return request.model_copy(update={"patients": patients})


def _headers(text: str) -> tuple[PackedHeader, ...]:
    try:
        return HEADERS.validate_json(text, strict=True)
    except ValidationError as error:
        if any(fault["type"] == "too_long" and not fault["loc"] for fault in error.errors(include_input=False)):
            raise TooLargeError("samples", f"may hold at most {MAX_SAMPLES:,} in one request; send several") from None
        fault = refused(error, _KNOWN)
        raise InputError(f"samples{fault.field if fault.field.startswith('[') else ''}", fault.rule) from None


def pack(request: str, samples: Sequence[tuple[Mapping[str, Any], CellBag]]) -> bytes:
    """A packed body.

    Args:
        request: JSON of a `PredictRequest` without the samples.
        samples: For each, ``patient``, ``material``, ``day`` and ``clones`` as in `PackedHeader`, and its cells.
    """
    headers: list[dict[str, Any]] = []
    tensors: dict[str, NDArray[Any]] = {}
    for i, (known, bag) in enumerate(samples):
        names, codes = np.unique(bag.cell_type.astype(str), return_inverse=True)
        labelled = names.tolist() != [UNLABELLED]
        headers.append({**known, "genes": bag.genes, **({LABELS: names.tolist()} if labelled else {})})
        arrays = dict(zip(ARRAYS, (bag.indptr, bag.indices, bag.values), strict=True))
        tensors |= {f"{i}.{name}": _narrow(array) for name, array in arrays.items()}
        if labelled:
            tensors[f"{i}.{LABELS}"] = _narrow(codes)
    return save(tensors, {"request": request, "samples": json.dumps(headers)})


def _narrow(array: NDArray[Any]) -> NDArray[Any]:
    """The same numbers in the smallest type that holds them."""
    if not len(array):
        return np.zeros(0, np.uint8)
    if not np.isfinite(array).all() or (array != np.floor(array)).any() or array.min() < 0 or array.max() > EXACT:
        return array.astype(np.float64)
    return array.astype(np.min_scalar_type(int(array.max())))


def _tensors(body: bytes) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Tensors by name with the name of their type, and the metadata."""
    rule = "must be a safetensors file with the request in its metadata"
    head = body[8 : 8 + int.from_bytes(body[:8], "little")]
    if _TEXT.sub(b"", head).count(b",") > MAX_PARTS:  # each part, an empty tensor too, becomes an object in memory
        raise TooLargeError(
            "tensors", f"may be at most four for each of {MAX_SAMPLES:,} samples; send several requests"
        )
    try:
        found = deserialize(body)  # type: ignore[no-untyped-call]
    except (SafetensorError, ValueError) as error:
        raise InputError("body", rule) from error
    metadata = cast("dict[str, str]", json.loads(head).get("__metadata__") or {})
    if "request" not in metadata:
        raise InputError("body", rule)
    tensors = {}
    for name, tensor in found:
        if tensor["dtype"] not in NUMBERS or len(tensor["shape"]) != 1:
            raise InputError("tensors", f"must be vectors of {', '.join(NUMBERS)}")
        tensors[name] = (tensor["dtype"], np.frombuffer(tensor["data"], dtype=NUMBERS[tensor["dtype"]]))
    return tensors, metadata


def _sample(tensors: dict[str, Tensor], i: int, header: PackedHeader, field: str) -> PackedSample:
    """Take the tensors of sample i out of those that are there."""
    indptr, indices = (_taken(tensors, i, name, field).astype(np.int64) for name in ("indptr", "indices"))
    values = _taken(tensors, i, "values", field, whole=False).astype(np.float64)
    if len(indptr) < 2:
        raise InputError(f"{field}.indptr", "holds one number more than there are cells, of which there must be one")
    if not np.isfinite(values).all():
        raise InputError(f"{field}.values", "must be finite numbers")
    labels = texts((UNLABELLED,) * (len(indptr) - 1))
    if header.cell_types is not None:
        labels = _labels(_taken(tensors, i, LABELS, field), header.cell_types, len(labels), f"{field}.{LABELS}")
    cells = CellBag(header.genes, indptr, indices, values, labels)
    try:
        known = header.model_dump(include={"material", "day", "genes", "clones"})
        return PackedSample(**known, cells=cells)
    except ValidationError as error:
        raise InputError(f"{field}.clones", refused(error, _KNOWN).rule) from None


def _labels(codes: NDArray[Any], names: tuple[str, ...], n_cells: int, field: str) -> TextArray:
    if len(codes) != n_cells:
        raise InputError(field, f"must be one for each of the {n_cells} cells")
    place = codes.astype(np.int64)
    if place.min() < 0 or place.max() >= len(names):
        raise InputError(field, "must be positions in the sample's cell_types")
    return texts(names)[place]


def _taken(tensors: dict[str, Tensor], i: int, name: str, field: str, *, whole: bool = True) -> NDArray[Any]:
    if f"{i}.{name}" not in tensors:
        raise InputError(f"{field}.{name}", f"is required: a tensor of the name {i}.{name}")
    kind, tensor = tensors.pop(f"{i}.{name}")
    if whole and kind not in INTEGERS:
        raise InputError(f"{field}.{name}", f"must be whole numbers: a tensor of {', '.join(INTEGERS)}")
    return tensor
