"""Tests of ``tilecore doctor``: what it tells of the machine and of the packages, and what it warns of."""

from __future__ import annotations

import json
import os
from importlib import metadata
from typing import Any

import pytest

from tests.cli.commands import run
from tilecore import __version__, machine
from tilecore.cli import doctor, installation


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert run("doctor", "--json") == 0
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    return facts


def test_what_the_machine_offers(capsys: pytest.CaptureFixture[str]) -> None:
    facts = told(capsys)
    assert facts["usable_cores"] == machine.usable_cores() <= facts["cores_of_affinity"]
    assert facts["cores"] == os.cpu_count()
    assert 0 < facts["free_memory_bytes"] <= facts["memory_bytes"]
    assert facts["default_start_method"] in facts["start_methods"]
    assert facts["packages"]["tilecore"] == __version__
    assert facts["packages"]["numpy"] == metadata.version("numpy")
    assert "warnings" in facts


def test_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor") == 0
    text = capsys.readouterr().out
    for word in (
        "usable",
        "cgroup quota",
        "/dev/shm",
        "(default)",
        "TILECORE_WORKERS",
        "not set",
        "zarr",
        "matplotlib",
    ):
        assert word in text


def test_each_optional_package_has_the_extra_that_brings_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = metadata.version

    def without(name: str) -> str:
        if name == "h5py":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(installation.metadata, "version", without)
    optional = told(capsys)["optional_packages"]
    assert optional["h5py"] == {"version": None, "install": 'pip install "tilecore[hdf5]"'}
    assert optional["imagecodecs"]["install"] == 'pip install "tilecore[codecs]"'
    formats = {"imagecodecs", "h5py", "hdf5plugin", "matplotlib", "PyYAML", "pyarrow", "aiohttp", "fsspec", "s3fs"}
    assert set(optional) == {*formats, "dask", "distributed", "xarray"}
    assert run("doctor") == 0
    assert 'not installed: pip install "tilecore[hdf5]"' in capsys.readouterr().out


def test_without_an_installation(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(installation.metadata, "requires", none)
    assert told(capsys)["optional_packages"] == {}


def test_what_will_hurt(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available_memory", lambda: 2**20)
    monkeypatch.setattr(machine, "out_of_memory_kills", lambda: 3)
    monkeypatch.setattr(machine, "free_descriptors", lambda: 100)
    monkeypatch.setattr(doctor, "_size_of_shm", lambda: {"bytes": 2**26, "free_bytes": 2**26})
    for name, value in {"WORKERS": "two", "START_METHOD": "fork", "MAX_TASKS": "0"}.items():
        monkeypatch.setenv(f"TILECORE_{name}", value)
    warnings = "\n".join(told(capsys)["warnings"])
    for words in ("1.0 MiB of memory", "killed 3", "100 more files", "64.0 MiB are free in /dev/shm", "'fork' copies"):
        assert words in warnings
    assert "TILECORE_WORKERS='two'" in warnings
    assert "TILECORE_MAX_TASKS=0" in warnings
    assert run("doctor") == 0
    assert capsys.readouterr().out.count("\nwarning: ") == 7


def test_shared_memory_that_cannot_be_made(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "memfd_create", forbidden)
    assert any("shared memory" in warning for warning in told(capsys)["warnings"])
