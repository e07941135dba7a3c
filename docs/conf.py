"""How the pages are built: ``make docs``."""

from __future__ import annotations

import sys
from pathlib import Path

import tilecore

# Extensions of these pages lie in docs/extensions; figures of the design also look at the tests.
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "extensions"), str(HERE.parent)]

project = "tilecore"
author = "The tilecore developers"
project_copyright = author
version = release = tilecore.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "matplotlib.sphinxext.plot_directive",
    "breakable",
    "command_help",
    "measured",
    "rooms",
    "short_names",
]
exclude_patterns = ["_build"]
nitpicky = False

# `Name` is a link where there is such an object, as in docstrings.
default_role = "py:obj"
add_module_names = False
python_maximum_signature_line_length = 100
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

# Figures are drawn by the build: ".. plot:: figures/NAME.py".
plot_basedir = "."
plot_formats = ["svg", "png"]
plot_html_show_formats = False
plot_html_show_source_link = False

html_theme = "pydata_sphinx_theme"
html_title = "tilecore"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["tilecore.css"]
html_theme_options = {"header_links_before_dropdown": 5, "footer_start": ["copyright"], "footer_end": []}
html_sidebars = {page: [] for page in ("index", "tutorial", "performance", "contributing", "changelog")}


def without_parameters_of_protocols(*event):
    """Nobody makes an object of a protocol, so it has no parameters to show."""
    _, _, _, described, _, _, returns = event
    return ("", returns) if getattr(described, "_is_protocol", False) else None


def setup(app):
    app.connect("autodoc-process-signature", without_parameters_of_protocols)
