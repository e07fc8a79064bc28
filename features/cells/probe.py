"""Whether the HDF5 library comes back from a file at all.

On some damaged files it loops for ever, or ends the process: attributes that point into a damaged global heap do that
to h5py. No exception can be caught then, so the first look at a file is another process's, which may be killed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from features.cells.anndata_layout import CellFileError

PATIENCE_SECONDS = 60.0
"""Reading the attributes of a sound file takes a fraction of a second, of the largest one a few."""
_LOOK = """
import sys, h5py
def look(name, item):
    for key in item.attrs:
        item.attrs[key]
try:
    with h5py.File(sys.argv[1], "r") as file:
        look("", file)
        file.visititems(look)
except Exception:
    pass  # whoever opens it next says what is wrong
"""


def require_readable(path: Path, patience_seconds: float = PATIENCE_SECONDS) -> None:
    """Refuse an HDF5 file from whose groups and attributes the library does not come back.

    What raises an ordinary error is left to whoever opens the file.

    Raises:
        CellFileError: The library hangs, or crashes.
    """
    if path.suffix != ".h5ad" or not path.is_file():
        return
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _LOOK, str(path)], capture_output=True, timeout=patience_seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        rule = f"the HDF5 library does not come back from it within {patience_seconds:g} s"
        raise CellFileError(path, rule, "It is damaged: copy or write it again.") from error
    if done.returncode < 0:
        rule = f"the HDF5 library crashes on it (signal {-done.returncode})"
        raise CellFileError(path, rule, "It is damaged: copy or write it again.")
