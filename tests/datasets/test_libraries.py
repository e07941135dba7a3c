"""Tests of what happens without xarray, and of what importing does."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("missing", ["xarray", "dask.array"])
def test_an_error_names_the_extra(missing: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from tilecore.compat.minian import open_minian\n"
        "try: open_minian('.')\n"
        "except ImportError as error: print(error)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "tilecore[xarray]"' in result.stdout


def test_importing_is_light_and_changes_no_setting() -> None:
    code = (
        "import dask, os, sys; before = dask.config.serialize(dask.config.config), dict(os.environ)\n"
        "import tilecore.compat.minian\n"
        "assert 'xarray' not in sys.modules and 'dask.array' not in sys.modules and 'pandas' not in sys.modules\n"
        "assert before == (dask.config.serialize(dask.config.config), dict(os.environ))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
