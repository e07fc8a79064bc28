"""Building a feature store: what each worker does, and who tells it to.

Samples are cut into shards by their number of cells alone, so that a store has the same bytes from any number of
workers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from features.cells.store_files import (
    SUMS,
    Manifest,
    Shard,
    StoredFile,
    StoreError,
    building,
    content_sha256,
    read_manifest,
    require_unchanged,
    sha256_of_file,
    signature,
    take_place,
    write_manifest,
)
from features.cells.store_fill import Filler, GeneColumns, Job, Processor
from features.cells.store_workers import fill_in_workers
from features.cells.store_write import stack_sums
from features.schema import CellsCard

Progress = Callable[[int, int], None]
SHARD_CELLS = 1 << 18
"""Most cells of a shard, unless a single sample has more."""
LEAST_SHARDS = 16
"""Shards that a store is cut into where it has as many samples, to be shared out among workers."""
_GENE_TABLES = Path(__file__).parent / "data"


def store_key(source_sha256: str, card: CellsCard, processing: BaseModel | None) -> str:
    """The name of the store that these cells and this processing give.

    Args:
        source_sha256: Content of the file of cells (`features.cells.store_files.content_sha256`).
        card: What its values and columns are; programs do not matter.
        processing: Configuration of cell processing.
    """
    tables = [sha256_of_file(file) for file in sorted(_GENE_TABLES.glob("*.gz"))] if card.genes == "genes" else []
    facts = {
        "format": Manifest.model_fields["format"].default,
        "cells": source_sha256,
        "values": card.values,
        "genes": card.genes,
        "gene_tables": tables,
        "processing": _json(processing),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _json(processing: BaseModel | None) -> str:
    return "{}" if processing is None else json.dumps(processing.model_dump(mode="json"), sort_keys=True)


def build_folder(
    cells: Path,
    root: Path,
    card: CellsCard,
    processing: BaseModel | None,
    processor: Processor | None,
    workers: int,
    progress: Progress | None,
) -> Path:
    """The folder of a sound store of these cells, built if there is none; see `features.cells.store.build`."""
    if (processing is None and processor is not None) or workers < 1:
        msg = "a processor comes with its configuration, and workers number at least 1"
        raise ValueError(msg)
    from features.cells.anndata_io import CellFile
    from features.cells.processing import CellProcessing, CellProcessor

    if isinstance(processing, CellProcessing):
        processing = processing.resolved()
        processor = processor or CellProcessor(processing, counts=card.values == "counts")
    with CellFile.open(cells):  # names what is wrong with it, before anything is written
        pass
    try:
        seen = signature(cells)
        content = content_sha256(cells, root, workers)
        folder = root / store_key(content, card, processing)
        with suppress(StoreError):
            read_manifest(folder)
            return folder
        with building(root) as beside:
            built = beside / "store"
            built.mkdir()
            files, shards, genes = _shards(Job(cells, card, processor), built, workers, progress)
            files |= _stack(built, shards, len(genes))
            require_unchanged(cells, seen)
            manifest = Manifest(
                key=folder.name,
                source=cells.name,
                source_sha256=content,
                values=card.values,
                gene_names=card.genes,
                processing=_json(processing),
                genes=genes,
                shards=tuple(shards),
                files=files,
            )
            write_manifest(built, manifest)
            take_place(built, folder)
    except OSError as error:
        msg = (
            f"{root}: the feature store cannot be written ({error.strerror or error}); "
            "make room on the disk or choose another folder, and build again. Nothing half-written is left."
        )
        raise StoreError(msg) from error
    return folder


def _stack(built: Path, shards: Sequence[Shard], n_genes: int) -> dict[str, StoredFile]:
    """The sums of all shards as one .npy file of each kind."""
    folders = [built / shard.folder for shard in shards]
    n_groups = sum(len(sample.groups) for shard in shards for sample in shard.samples)
    n_samples = sum(len(shard.samples) for shard in shards)
    n_rows = {"total": n_groups, "lognorm": n_groups, "normalised": n_samples, "squared": n_samples}
    return {f"{name}.npy": stack_sums(name, folders, built / f"{name}.npy", (n_rows[name], n_genes)) for name in SUMS}


def _shards(
    job: Job, built: Path, workers: int, progress: Progress | None
) -> tuple[dict[str, StoredFile], list[Shard], tuple[str, ...]]:
    """Fill all shards: their files by path, what they hold in order of samples, and the genes."""
    from features.cells.anndata_io import CellFile

    with CellFile.open(job.cells) as cells:
        genes = GeneColumns.of(cells.genes, job.card.genes).genes
        n_cells = np.bincount(cells.sample[cells.sample >= 0], minlength=len(cells.samples))
        cuts = shard_cuts(n_cells) if cells.lies_together else [0, len(n_cells)]
    tasks = [(built / f"shard-{i:04d}", (low, high)) for i, (low, high) in enumerate(pairwise(cuts))]
    total, done = int(n_cells.sum()), 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, total)

    if min(workers, len(tasks)) <= 1:
        with Filler(job) as filler:
            filled = [filler.fill(folder, which, count) for folder, which in tasks]
    else:
        filled = fill_in_workers(job, tasks, min(workers, len(tasks)), count)
    shards = [shard for shard, _ in filled]
    kept = ((shard, name, file) for shard, files in filled for name, file in files.items() if name not in SUMS)
    return {f"{shard.folder}/{name}": file for shard, name, file in kept}, shards, genes


def shard_cuts(n_cells: NDArray[np.int64]) -> list[int]:
    """Where shards begin and the last one ends: runs of samples that share the cells out evenly."""
    most = max(1, min(SHARD_CELLS, -(-int(n_cells.sum()) // LEAST_SHARDS)))
    cuts, held = [0], 0
    for i, n in enumerate(n_cells.tolist()):
        if held and held + n > most:
            cuts.append(i)
            held = 0
        held += n
    return [*cuts, len(n_cells)] if len(n_cells) else cuts
