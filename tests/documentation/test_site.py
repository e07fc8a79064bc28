"""The documentation is built by Sphinx, warnings being errors, and every link in it leads somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from doc_pages import DOCS, ROOT, pages

LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", str(tmp_path / "trees")]
    done = subprocess.run([*command, str(DOCS), str(tmp_path / "site")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    site = tmp_path / "site"
    for page in ("tutorial", "how-to/slurm", "reference/generated/commands", "reference/generated/configurations"):
        assert (site / f"{page}.html").exists(), page
    assert "predict_incidence" in (site / "reference" / "api.html").read_text(encoding="utf-8")
    text = (site / "reference" / "generated" / "configurations.html").read_text(encoding="utf-8")
    assert "set_transformer" in text
    outside = re.findall(r'(?:src|href)="(https?://[^"]+)"', (site / "index.html").read_text(encoding="utf-8"))
    assert not [url for url in outside if url.endswith((".js", ".css", ".woff2"))]


PAGES = [*pages(), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_to_files(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert "generated/" in target or (page.parent / target).exists(), f"{page.name}: {target}"
