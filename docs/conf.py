"""How Sphinx makes the documentation: the pages beside this file, and a reference made from the code."""

from __future__ import annotations

from importlib.metadata import version as installed_version
from pathlib import Path
from sys import path

from sphinx.application import Sphinx

HERE = Path(__file__).parent
path.insert(0, str(HERE))

from make_reference import write_reference  # noqa: E402 - stands beside this file

project = "Sequela"
author = "The Sequela developers"
copyright = "The Sequela developers, Apache-2.0"  # noqa: A001 - Sphinx's name
release = version = installed_version("sequela")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "sphinx_copybutton"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
default_role = "code"
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
suppress_warnings = ["ref.python"]  # the axes of arrays ("events") are no classes

html_theme = "furo"
html_title = "Sequela"
html_theme_options = {"navigation_with_keys": True}


def setup(app: Sphinx) -> None:
    """Write the reference before Sphinx looks for pages."""
    app.connect("config-inited", lambda *_: write_reference(HERE / "reference" / "generated"))
