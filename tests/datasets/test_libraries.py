"""Tests of what happens without xarray, and of what importing does."""

from __future__ import annotations

import subprocess
import sys

import pytest

CALLS = {
    "open_minian": "from tilecore.compat.minian import open_minian; open_minian('.')",
    "get_optimal_chk": (
        "import xarray; from tilecore.compat.minian import get_optimal_chk; sys.modules['dask.array'] = None\n"
        "get_optimal_chk(xarray.DataArray([[1]], dims=('height', 'width')))"
    ),
    "throttle": "from tilecore.throttling import throttle",
    "DatasetVariable": (
        "import numpy, tempfile; from tilecore import DatasetVariable, map_tiles\n"
        "folder = tempfile.TemporaryDirectory()\n"
        "map_tiles(numpy.copy, numpy.ones(3), out=DatasetVariable(folder.name, 'x'), executor='serial')"
    ),
}


@pytest.mark.parametrize(
    ("call", "missing", "extra"),
    [
        ("open_minian", "xarray", "xarray"),
        ("open_minian", "dask.array", "xarray"),
        ("get_optimal_chk", None, "dask"),
        ("throttle", "distributed", "dask"),
        ("DatasetVariable", "xarray", "xarray"),
    ],
)
def test_an_error_names_the_package_and_the_extra(call: str, missing: str | None, extra: str) -> None:
    hide = "" if missing is None else f"sys.modules[{missing!r}] = None"
    code = f"import sys; {hide}\n{CALLS[call]}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("tilecore.errors.MissingDependencyError")]
    package = (missing or "dask").partition(".")[0]
    assert f'needs the package {package}: pip install "tilecore[{extra}]"' in line


def test_importing_is_light_and_changes_no_setting() -> None:
    code = (
        "import dask, os, sys; before = dask.config.serialize(dask.config.config), dict(os.environ)\n"
        "import tilecore.compat.minian\n"
        "assert 'xarray' not in sys.modules and 'dask.array' not in sys.modules and 'pandas' not in sys.modules\n"
        "assert before == (dask.config.serialize(dask.config.config), dict(os.environ))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
