"""Python, packages and the code itself."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from experiments.doctor.line import Line
from experiments.home import CONFIGS

PACKAGES = ("numpy", "torch", "safetensors", "pydantic", "lightning", "mlflow", "anndata", "zarr", "optuna", "bentoml")
OURS = ("features", "training", "experiments", "serving")
FORBIDDEN = {"lightning": {"2.6.2", "2.6.3"}}
"""Releases that were malicious uploads."""
CONSTRAINTS = CONFIGS.parent / "constraints.txt"
"""The versions that are tested; absent where Sequela was installed from a wheel."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MOST = 5
"""Packages named in one line."""


def examine_installation() -> Iterator[Line]:
    """Python, the packages a run needs, their tested versions, our own code, and its git state."""
    supported = sys.version_info >= (3, 11)
    found = f"{sys.version.split()[0]} in {sys.prefix}"
    yield Line("python", "ok", found) if supported else Line("python", "fail", found, "install Python 3.11 or later")
    yield from (_package(name) for name in PACKAGES)
    yield from (_ours(name) for name in OURS)
    if CONSTRAINTS.is_file():
        yield examine_versions(CONSTRAINTS.read_text(encoding="utf-8"))
    if find_spec("mlflow") is not None:
        yield _git()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    yield Line("browser", "ok", browser or "no Chromium; only tests of pages want one")


def _package(name: str) -> Line:
    found = installed(name)
    if found is None:
        return Line(name, "fail", "not installed", "run `make install`")
    if found in FORBIDDEN.get(name, set()):
        remedy = "uninstall it, and change every password and key that this account could read"
        return Line(name, "fail", f"{found} was a malicious upload", remedy)
    return Line(name, "ok", found)


def installed(name: str) -> str | None:
    """The version of a package, None where it is absent."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def examine_versions(constraints: str) -> Line:
    """Whether the packages that are installed have the versions that are tested."""
    pins = [line.partition("==")[::2] for line in constraints.splitlines() if "==" in line]
    pairs = [(name.strip(), pin.split(";")[0].strip(), installed(name.strip())) for name, pin in pins]
    others = [f"{name} {here} (tested {pin})" for name, pin, here in pairs if here and here.partition("+")[0] != pin]
    there = sum(here is not None for *_, here in pairs)
    if not others:
        return Line("versions", "ok", f"all {there} packages as tested")
    shown = ", ".join(others[:MOST]) + (", …" if len(others) > MOST else "")
    remedy = "run `make install` for the tested versions, if numbers or errors surprise you"
    return Line("versions", "note", f"{len(others)} of {there} packages differ: {shown}", remedy)


def _ours(name: str) -> Line:
    spec = find_spec(name)
    where = spec.origin if spec is not None else None
    if where is not None and Path(where).parents[1] == CONFIGS.parent:
        return Line(name, "ok", where)
    return Line(name, "fail", f"{where or 'not found'}: not ours", "change folder, or unset PYTHONPATH")


def _git() -> Line:
    from experiments.tracking import git_state

    commit, dirty = git_state()
    if dirty:
        remedy = "commit before a run that others shall reproduce; it is tagged sequela.git_dirty"
        return Line("git", "note", f"{commit[:12]}, with uncommitted changes", remedy)
    return Line("git", "ok", commit[:12])
