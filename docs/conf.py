"""How the pages are built: ``make docs``."""

from __future__ import annotations

import logging

import tilecore

project = "tilecore"
author = "The tilecore developers"
project_copyright = author
version = release = tilecore.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "matplotlib.sphinxext.plot_directive",
]
exclude_patterns = ["_build"]
nitpicky = False
# A folder may have no pages yet. (Sphinx 9 gives this warning no type, so ``suppress_warnings`` cannot name it.)
logging.getLogger("sphinx.sphinx.directives.other").addFilter(
    lambda record: getattr(record, "subtype", "") != "empty_glob"
)

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False

# Figures are drawn by the build: ".. plot:: figures/NAME.py".
plot_basedir = "."
plot_formats = ["svg", "png"]
plot_html_show_formats = False
plot_html_show_source_link = False

html_theme = "pydata_sphinx_theme"
html_title = "tilecore"
html_show_sourcelink = False
