"""Tests of settings: first the argument, then the settings, the environment, and the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tilecore import ParameterError, ParameterTypeError, settings
from tilecore import machine as machine_module
from tilecore.bytesize import format_bytes, parse_bytes
from tilecore.machine import available_memory, free_space, usable_cores


def test_each_place_yields_to_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.resolve_workers() == usable_cores()
    monkeypatch.setenv("TILECORE_WORKERS", "5")
    assert settings.resolve_workers() == 5
    with settings.override(workers=4):
        assert settings.resolve_workers() == 4
        assert settings.resolve_workers(3) == 3
    assert settings.resolve_workers() == 5
    monkeypatch.setenv("TILECORE_START_METHOD", "spawn")
    monkeypatch.setenv("TILECORE_MAX_TASKS", "7")
    assert (settings.resolve_start_method(), settings.resolve_max_tasks()) == ("spawn", 7)
    monkeypatch.setenv("TILECORE_MAX_TASKS", "")
    assert settings.resolve_max_tasks() is None


def test_patience_with_a_cluster_is_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.resolve_dask_patience() == 300
    monkeypatch.setenv("TILECORE_DASK_PATIENCE", "2.5")
    assert settings.resolve_dask_patience() == 2.5
    monkeypatch.setenv("TILECORE_DASK_PATIENCE", "inf")
    assert settings.resolve_dask_patience() == float("inf")
    with settings.override(dask_patience=7):
        assert settings.resolve_dask_patience() == 7
    monkeypatch.setenv("TILECORE_DASK_PATIENCE", "an hour")
    with pytest.raises(ParameterError, match="TILECORE_DASK_PATIENCE='an hour'.*more than zero"):
        settings.resolve_dask_patience()


def test_overrides_nest_and_end_with_an_error() -> None:
    with settings.override(workers=2):
        with pytest.raises(RuntimeError), settings.override(workers=3, start_method="fork"):
            raise RuntimeError
        assert (settings.workers, settings.start_method) == (2, None)
    assert settings.workers is None


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("workers", 0, ParameterError),
        ("workers", -1, ParameterError),
        ("workers", 1.5, ParameterTypeError),
        ("workers", "two", ParameterTypeError),
        ("start_method", "teleport", ParameterError),
        ("max_tasks", 0, ParameterError),
        ("dask_patience", 0, ParameterError),
        ("dask_patience", float("nan"), ParameterError),
        ("dask_patience", [5], ParameterTypeError),
    ],
)
def test_wrong_settings_are_refused(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=name):
        setattr(settings, name, value)


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(AttributeError, match="choose one of workers, start_method, max_tasks"):
        settings.wokers = 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "value"), [("TILECORE_WORKERS", "many"), ("TILECORE_WORKERS", "0"), ("TILECORE_START_METHOD", "x")]
)
def test_a_wrong_environment_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises((ParameterError, ParameterTypeError), match=name):
        _ = settings.resolve_workers(), settings.resolve_start_method()


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("2KB", 2000), ("2 kib", 2048), ("1.5GB", 1_500_000_000), ("3M", 3_000_000), ("1TiB", 2**40), (7, 7)],
)
def test_sizes_are_parsed(text: Any, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GB", "1.2.3", "-5MB", "5 XB", "1iB", -1])
def test_wrong_sizes_are_refused(text: Any) -> None:
    with pytest.raises(ParameterError, match="max_memory"):
        parse_bytes(text, "max_memory")


def test_sizes_of_other_types_are_refused() -> None:
    with pytest.raises(ParameterTypeError, match="whole number of bytes"):
        parse_bytes(1.5)  # type: ignore[arg-type]


def test_sizes_are_written() -> None:
    assert [format_bytes(2**power) for power in (0, 10, 35, 60)] == ["1 B", "1.0 KiB", "32.0 GiB", "1024.0 PiB"]


def test_the_machine_has_cores_and_memory() -> None:
    assert usable_cores() >= 1
    assert 0 < available_memory() < 2**50
    assert free_space("/") > 0


def test_cgroups_cut_memory_and_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of this process's cgroup and its parents are found, for versions 1 and 2."""
    monkeypatch.setattr(machine_module, "_CGROUP_ROOT", tmp_path)
    monkeypatch.setattr(machine_module, "_cgroup_paths", lambda: {"memory": "/a/b", "cpu": "/a", "": "/c"})
    for folder in ("memory/a/b", "cpu/a", "c"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "memory/a/b/memory.limit_in_bytes").write_text(f"{2**63 - 4096}\n")  # no limit
    (tmp_path / "memory/a/memory.limit_in_bytes").write_text("500000000\n")
    (tmp_path / "memory/a/memory.usage_in_bytes").write_text("300000000\n")
    (tmp_path / "memory/a/memory.stat").write_text("cache 5\ntotal_inactive_file 50000000\n")
    assert available_memory() == 250_000_000
    (tmp_path / "c/memory.max").write_text("100000000\n")
    (tmp_path / "c/memory.current").write_text("40000000\n")
    assert available_memory() == 60_000_000
    (tmp_path / "cpu/a/cpu.cfs_quota_us").write_text("-1\n")
    (tmp_path / "cpu/a/cpu.cfs_period_us").write_text("100000\n")
    (tmp_path / "c/cpu.max").write_text("50000 100000\n")
    assert usable_cores() == 1
