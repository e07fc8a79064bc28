"""The files of a feature store: what its manifest says, checksums, and building beside before taking the place.

A store is `<root>/<key>/`; it appears there by one rename, complete. What is being built lies in `<root>/.building/`,
beside a lock file that its builder holds: the kernel lets go of the lock when the builder dies, however it dies, and
the next builder clears away whatever nobody holds.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from features.errors import SequelaError
from features.schema import Frozen

MANIFEST = "manifest.json"
_DIGEST = "manifest.sha256"
_BUILDING = ".building"
_HASHES = ".hashes"
_PIECE = 1 << 20
SUMS = ("total", "lognorm", "normalised", "squared")
"""The sums of a summary, in files of their own."""


class StoreError(SequelaError):
    """A feature store that cannot be built or read."""


class StoredFile(Frozen):
    """Size and sha256 of a file."""

    size_bytes: int
    sha256: str


class StoredSample(Frozen):
    """One sample of a shard; its cells follow those of the sample before."""

    sample_id: str
    n_cells: int
    n_values: int
    groups: tuple[tuple[str, int], ...]
    """Cell types in ascending order, with their number of cells."""
    numbers: dict[str, float | None]
    """What else processing found out; None where it is not known."""


class Shard(Frozen):
    """The files of some consecutive samples, written by one worker."""

    folder: str
    index_type: Literal["uint16", "uint32"]
    value_type: Literal["uint8", "uint16", "float32", "float64"]
    """The smallest type that holds all values of the shard without loss."""
    cell_types: tuple[str, ...]
    """Labels of the codes in the file of cell types."""
    samples: tuple[StoredSample, ...]


class Manifest(Frozen):
    """What a store holds."""

    format: Literal["sequela-cell-store/1"] = "sequela-cell-store/1"
    key: str
    source: str
    """Name of the file of cells."""
    source_sha256: str
    values: str
    """Raw counts, or intensities."""
    gene_names: str
    """Whether columns are genes, with canonical names, or markers."""
    processing: str
    """The configuration of cell processing, as JSON."""
    genes: tuple[str, ...]
    shards: tuple[Shard, ...]
    files: dict[str, StoredFile]
    """By path within the store: every file but the manifest."""


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, and its own checksum."""
    text = manifest.model_dump_json(indent=1).encode()
    (folder / MANIFEST).write_bytes(text)
    (folder / _DIGEST).write_text(hashlib.sha256(text).hexdigest())


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest and compare the size of every file with it.

    Raises:
        StoreError: There is no store, it has an unknown format, or its files are not as they were written.
    """
    remedy = "remove the folder and build it again"
    try:
        text = (folder / MANIFEST).read_bytes()
        digest = (folder / _DIGEST).read_text()
        if hashlib.sha256(text).hexdigest() != digest:
            msg = f"{folder}: the manifest has changed since it was written; {remedy}"
            raise StoreError(msg)
        manifest = Manifest.model_validate_json(text)
        for name, file in manifest.files.items():
            size = (folder / name).stat().st_size
            if size != file.size_bytes:
                msg = f"{folder}: {name} has {size:,} bytes instead of {file.size_bytes:,}; {remedy}"
                raise StoreError(msg)
    except FileNotFoundError as error:
        msg = f"{folder}: no complete feature store ({Path(error.filename).name} is missing); build it"
        raise StoreError(msg) from error
    except (OSError, ValueError) as error:
        msg = f"{folder}: not a feature store of this version ({' '.join(str(error).split())[:160]}); {remedy}"
        raise StoreError(msg) from error
    return manifest


def sha256_of_file(path: Path) -> str:
    """Hex sha256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def content_sha256(path: Path, root: Path, workers: int = 2) -> str:
    """The sha256 of a file's bytes, or of the names and bytes of a folder's files.

    It is remembered beside the stores with the name, size, times and inode of every file, and nothing is read again
    until one of these changes.

    Raises:
        OSError: A file cannot be read.
        StoreError: A file changed while it was read.
    """
    seen = signature(path)
    remembered = root / _HASHES / f"{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:32]}.json"
    with suppress(OSError, ValueError, KeyError):
        known = json.loads(remembered.read_text())
        if known["signature"] == seen:
            return str(known["sha256"])
    files = _files(path)
    with ThreadPoolExecutor(workers) as pool:  # hashing lets other threads run
        digests = list(pool.map(sha256_of_file, files))
    lines = [f"{file.relative_to(path)}\0{digest}\n" for file, digest in zip(files, digests, strict=True)]
    content = digests[0] if path.is_file() else hashlib.sha256("".join(lines).encode()).hexdigest()
    require_unchanged(path, seen)
    remembered.parent.mkdir(parents=True, exist_ok=True)
    beside = remembered.with_suffix(f".{uuid.uuid4().hex}")
    beside.write_text(json.dumps({"path": str(path.resolve()), "signature": seen, "sha256": content}))
    beside.replace(remembered)
    return content


def signature(path: Path) -> str:
    """Hex sha256 over the name, size, inode and times of modification and change of every file."""
    digest = hashlib.sha256()
    for file in _files(path):
        stat = file.stat()
        facts = (file.relative_to(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev)
        digest.update("\0".join(map(str, facts)).encode() + b"\n")
    return digest.hexdigest()


def require_unchanged(path: Path, seen: str) -> None:
    """Raise unless the files are as they were when the signature `seen` was taken.

    Raises:
        StoreError: They are not.
    """
    if signature(path) != seen:
        msg = f"{path.name}: changed while it was read; build again once nothing writes to it"
        raise StoreError(msg)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file())


@contextmanager
def building(root: Path) -> Iterator[Path]:
    """An own folder to build a store in; it is gone when the block ends, unless it has been moved away.

    What builders that died have left is cleared first.

    Raises:
        OSError: The disk is full, or not writable.
    """
    home = root / _BUILDING
    home.mkdir(parents=True, exist_ok=True)
    clear_abandoned(root)
    folder = home / uuid.uuid4().hex
    lock = _locked(folder.with_suffix(".lock"))
    try:
        folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_suffix(".lock").unlink(missing_ok=True)
        os.close(lock)


def clear_abandoned(root: Path) -> int:
    """Remove what builders that no longer live have left; the number of folders removed."""
    n_removed = 0
    for path in sorted((root / _BUILDING).glob("*.lock")):
        with suppress(FileNotFoundError), path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # its builder lives
            n_removed += path.with_suffix("").exists()
            shutil.rmtree(path.with_suffix(""), ignore_errors=True)
            path.unlink(missing_ok=True)
    return n_removed


def _locked(path: Path) -> int:
    """A new lock file, locked; another try where it was cleared away before it was locked."""
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)


def take_place(built: Path, folder: Path) -> bool:
    """Move a complete store to its place; False if another builder's is there already, and sound.

    Raises:
        OSError: It cannot be moved.
    """
    while True:
        try:
            built.rename(folder)
        except OSError:
            if not folder.exists():
                raise
        else:
            return True
        try:
            read_manifest(folder)
        except StoreError:
            with suppress(FileNotFoundError):  # damaged: it makes room; readers keep what they have mapped
                folder.rename(built.with_suffix(".damaged"))
            shutil.rmtree(built.with_suffix(".damaged"), ignore_errors=True)
        else:
            return False
