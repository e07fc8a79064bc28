"""The pages of the documentation as tests see them: fenced blocks, the commands in them, and a shell that runs them."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from preloaded import SEQUELA

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+/\S+\.(?:yaml|toml|py))\n")
NUMBER = re.compile(r"[-+−]?\d[\d.,]*(?:e[-+]?\d+)?")
END = "-- end of block --"
RUNS = {"bash", "python"}


@dataclass(frozen=True)
class Block:
    """A fenced block: ``bash`` and ``python`` are run unless they say what they need; ``text`` is what they print."""

    language: str
    needs: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that the block is, named in its first line."""
        match = FILE.match(self.text)
        return match[1] if match else None


def pages() -> list[Path]:
    """README and every page of the documentation."""
    generated = DOCS / "reference" / "generated"
    return [ROOT / "README.md", *sorted(page for page in DOCS.rglob("*.md") if generated not in page.parents)]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = []
    for match in BLOCK.finditer(page.read_text(encoding="utf-8")):
        language, _, rest = match["info"].strip().partition(" ")
        found.append(Block(language, rest.removeprefix("needs="), match["text"]))
    return found


def is_run(page: Path) -> bool:
    """Whether a page has commands that run here."""
    return any(block.language == "bash" and not block.needs for block in blocks(page))


def commands(page: Path) -> Iterator[list[str]]:
    """Every `sequela` command line in the fenced blocks of a page, as words."""
    for block in blocks(page):
        for line in block.text.replace("\\\n", " ").splitlines():
            line = re.sub(r"\$\{\w+:\+([^}]*)\}", r"\1", line)
            if "sequela " not in line or block.language in RUNS - {"bash"} or "…" in line:
                continue
            lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
            lexer.whitespace_split = True
            words = list(lexer)
            for start in (i for i, word in enumerate(words) if word == "sequela"):
                after = words[start + 1 :]
                ends = [i for i, word in enumerate(after) if set(word) <= set("|&;<>")]
                own = after[: ends[0]] if ends else after
                yield own[:-1] if ends and own[-1:] == ["2"] else own  # of 2>


def script(page: Path) -> str:
    """What a page's blocks do, one after the other; stops at the first that fails."""
    lines = ["set -euo pipefail", "trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT"]
    for block in blocks(page):
        if block.file is not None:
            lines += [f"mkdir -p {Path(block.file).parent}", f"cat > {block.file} <<'EOF'\n{block.text}EOF"]
        elif block.language in RUNS and not block.needs:
            lines += [block.text if block.language == "bash" else f"python - <<'EOF'\n{block.text}EOF"]
            lines += [f"echo '{END}'"]
    return "\n".join(lines)


def run_page(page: Path, folder: Path, environment: Mapping[str, str]) -> list[str]:
    """Run a page's blocks in a folder; what each printed.

    Raises:
        AssertionError: A command failed; with what it said.
    """
    path = os.pathsep.join([str(SEQUELA.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    shell = subprocess.Popen(
        ["bash", "-c", script(page)],
        cwd=folder,
        env={**environment, "PATH": path, "COLUMNS": "160"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        out, _ = shell.communicate(timeout=1200)
    finally:
        with suppress(ProcessLookupError):  # servers that the page left running
            os.killpg(shell.pid, signal.SIGKILL)
    printed = out.split(f"{END}\n")
    assert shell.returncode == 0, f"block {len(printed)} of {page.name} failed: {out[-3000:]}"
    return printed


def shown(page: Path) -> Iterator[tuple[int, str]]:
    """Lines of ``text`` blocks, with the number of the block that prints them."""
    ran = -1
    for block in blocks(page):
        if block.language in RUNS and not block.needs and block.file is None:
            ran += 1
        elif block.language == "text":
            for line in block.text.splitlines():
                yield ran, line


def without_numbers(text: str) -> str:
    """Words alone: numbers differ between processors."""
    return " ".join(NUMBER.sub("#", text).split())
