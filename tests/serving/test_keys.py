"""Keys of callers: what is kept, who is known, and that a running service follows."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import serving.keys
from features.errors import SequelaError
from serving.keys import KeyRing, add_key, read_keys, revoke_key


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(serving.keys, "LOOK_AGAIN_SECONDS", 0.0)
    return tmp_path / "keys.json"


def test_a_key_is_known_and_only_its_hash_is_kept(file: Path) -> None:
    key, token = add_key(file, "ward", ["predict", "explain", "predict"])
    found = KeyRing(file).find(token)
    assert found == key
    assert key.scopes == ("predict", "explain")
    assert token.split("_", 2)[2] not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_of_two_keys_each_is_its_own(file: Path) -> None:
    (first, token), (second, other) = add_key(file, "one", ["predict"]), add_key(file, "two", ["admin"])
    ring = KeyRing(file)
    assert (ring.find(token), ring.find(other)) == (first, second)
    swapped = "_".join([*token.split("_")[:2], other.split("_", 2)[2]])
    assert ring.find(swapped) is None


@given(st.text(max_size=80))
def test_whatever_else_is_shown_is_no_key(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "some-keys.json"
    if not file.exists():
        add_key(file, "ward", ["predict"])
    key_id = read_keys(file)[0].id
    ring = KeyRing(file)
    for token in (text, f"sequela_{text}", f"sequela_{key_id}_{text}", f"other_{key_id}_{text}"):
        assert ring.find(token) is None


def test_a_key_ends_when_it_was_said_to(file: Path) -> None:
    _, token = add_key(file, "ward", ["predict"], days=0)
    assert KeyRing(file).find(token) is None


def test_a_ring_in_use_follows_its_file(file: Path) -> None:
    ring = KeyRing(file)
    key, token = add_key(file, "ward", ["predict"])
    assert ring.find(token) == key
    revoke_key(file, key.id)
    assert ring.find(token) is None
    with pytest.raises(SequelaError, match=f"holds no key {key.id}"):
        revoke_key(file, key.id)


def test_a_file_that_is_damaged_or_open_to_others_is_refused_and_a_ring_keeps_what_it_has(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key, token = add_key(file, "ward", ["predict"])
    ring = KeyRing(file)
    whole = file.read_bytes()
    for spoil, said in (
        (lambda: file.write_bytes(whole[:40]), "is no file of keys"),
        (lambda: file.chmod(0o644), "600"),
    ):
        file.write_bytes(whole)
        spoil()
        os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))
        with pytest.raises(SequelaError, match=said):
            read_keys(file)
        assert ring.find(token) == key
        assert said in caplog.text
    file.unlink()
    assert ring.find(token) is None


def test_keys_added_at_once_are_all_there(file: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda n: add_key(file, f"app {n}", ["predict"]), range(12)))
    assert {key for key, _ in made} == set(read_keys(file))
